//! Whose events a new webhook receives.

use crate::auth::caller::Caller;
use crate::error::{ClientError, Result};
use crate::ids::OrganizationId;

/// The organization whose events a new endpoint receives; None: all. `given` is the body's member, `own` the one organization that the caller
/// covers. An endpoint of all organizations is never made by leaving something out, and none of one organization where all were asked for.
pub fn organization_of_new(
    given: Option<Option<&str>>,
    own: Option<OrganizationId>,
    caller: Caller,
) -> Result<Option<OrganizationId>> {
    match (given, own) {
        (Some(Some(id)), _) => OrganizationId::parse(id).map(Some),
        (None, Some(own)) => Ok(Some(own)),
        (Some(None), None) => Ok(None),
        (None, None) => Err(ClientError::Invalid(
            "organization_id is required with a service key of all organizations; null stands for all of them",
        )
        .into()),
        (Some(None), Some(_)) if caller.user().is_some() => Err(ClientError::Invalid(
            "organization_id null stands for all organizations, which only a service key of all of them may use; leave it out for your own",
        )
        .into()),
        (Some(None), Some(_)) => Err(ClientError::ForeignOrganization.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::ids::{ServiceKeyId, UserId};

    // threat model 222
    #[test]
    fn an_endpoint_of_all_organizations_is_asked_for_with_null_by_a_key_of_all() {
        const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let user = Caller::User(UserId::parse(ID).unwrap());
        let key = Caller::ServiceKey(ServiceKeyId::parse(ID).unwrap());
        let own = OrganizationId::parse(ID).unwrap();
        for (caller, covers) in [(user, Some(own)), (key, Some(own)), (key, None)] {
            let named = organization_of_new(Some(Some(ID)), covers, caller);
            assert_eq!(named.unwrap(), Some(own));
            assert!(organization_of_new(Some(Some("x")), covers, caller).is_err());
        }
        for caller in [user, key] {
            assert_eq!(
                organization_of_new(None, Some(own), caller).unwrap(),
                Some(own)
            );
        }
        assert_eq!(organization_of_new(Some(None), None, key).unwrap(), None);
        let refused = |given, covers, caller| match organization_of_new(given, covers, caller) {
            Err(Error::Client(error)) => error,
            other => panic!("{other:?}"),
        };
        let invalid = |error| matches!(error, ClientError::Invalid(_));
        assert!(invalid(refused(None, None, key)));
        assert!(invalid(refused(Some(None), Some(own), user)));
        let foreign = refused(Some(None), Some(own), key);
        assert_eq!(foreign, ClientError::ForeignOrganization);
    }
}
