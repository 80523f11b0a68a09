//! The identifiers. Each has its own type, so that none is passed for another.

use crate::error::{ClientError, Error};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Reads the hyphenated form only, because it goes into URLs and into the AAD.
            pub fn parse(text: &str) -> Result<Self, Error> {
                hyphenated(text).map(Self).ok_or(Error::Client(ClientError::Invalid($expected)))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A user of Supabase Auth.
    UserId, "the user's id must be a UUID"
}
id! {
    /// A user's personal organization has the user's id.
    OrganizationId, "organization_id must be a UUID"
}
id! {
    /// A row of `integrations`. The worker makes it, because the sealed values are bound to it.
    IntegrationId, "the integration's id must be a UUID"
}
id! {
    ServiceKeyId, "the service key's id must be a UUID"
}
id! {
    ConnectSessionId, "the connect session's id must be a UUID"
}
id! {
    /// A started connection.
    TransactionId, "the connection's id must be a UUID"
}
id! {
    /// A grant that is neither stored nor revoked yet: a pending connection.
    PendingId, "the connection's id must be a UUID"
}

id! {
    RevocationId, "the revocation's id must be a UUID"
}
id! {
    /// An endpoint for webhooks. The worker makes it, because its sealed secrets are bound to it.
    EndpointId, "the webhook's id must be a UUID"
}
id! {
    /// An organization's own OAuth app. The worker makes it, because its sealed secrets are bound to it.
    OauthAppId, "the OAuth app's id must be a UUID"
}
id! {
    /// An event that webhooks report.
    EventId, "the event's id must be a UUID"
}

id! {
    /// A run of the scanner.
    AssessmentId, "the assessment's id must be a UUID"
}
id! {
    FindingId, "the finding's id must be a UUID"
}
id! {
    MuteId, "the mute's id must be a UUID"
}

impl OrganizationId {
    /// No organization's id. Secrets of the whole deployment are bound to it.
    pub const NIL: Self = Self(Uuid::nil());
}

impl UserId {
    pub fn personal_organization(self) -> OrganizationId {
        OrganizationId(self.0)
    }
}

fn hyphenated(text: &str) -> Option<Uuid> {
    // `Uuid::try_parse` also takes braces, URNs and the form without hyphens.
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        assert!(IntegrationId::parse("67e55044-10b1-426f-9247-bb680e5fe0c8").is_ok());
        for wrong in [
            "",
            "x&organization_id=neq.0",
            "1,or(id.neq.0)",
            "67e5504410b1426f9247bb680e5fe0c8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
            "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
            "67e55044-10b1-426f-9247-bb680e5fe0c8 ",
            &"6".repeat(10_240),
        ] {
            assert!(
                IntegrationId::parse(wrong).is_err(),
                "{wrong:.40} was taken for an id"
            );
        }
    }
}
