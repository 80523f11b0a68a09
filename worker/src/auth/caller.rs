//! Who acts: the worker itself, a user, or a program.

use crate::ids::{ServiceKeyId, UserId};
use serde::{Deserialize, Serialize};

/// The caller of a function of the database, as its arguments `p_user_id` and `p_service_key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Arguments", from = "Arguments")]
pub enum Caller {
    Worker,
    User(UserId),
    ServiceKey(ServiceKeyId),
}

impl Caller {
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Worker | Self::ServiceKey(_) => None,
        }
    }

    pub fn service_key(self) -> Option<ServiceKeyId> {
        match self {
            Self::ServiceKey(id) => Some(id),
            Self::Worker | Self::User(_) => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Arguments {
    p_user_id: Option<UserId>,
    p_service_key: Option<ServiceKeyId>,
}

impl From<Caller> for Arguments {
    fn from(caller: Caller) -> Self {
        Self {
            p_user_id: caller.user(),
            p_service_key: caller.service_key(),
        }
    }
}

impl From<Arguments> for Caller {
    fn from(arguments: Arguments) -> Self {
        match (arguments.p_service_key, arguments.p_user_id) {
            (Some(key), _) => Self::ServiceKey(key),
            (None, Some(user)) => Self::User(user),
            (None, None) => Self::Worker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_caller_is_one_of_two_arguments_or_none() {
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let user = Caller::User(UserId::parse(id).unwrap());
        let key = Caller::ServiceKey(ServiceKeyId::parse(id).unwrap());
        for (caller, p_user_id, p_service_key) in [
            (Caller::Worker, None, None),
            (user, Some(id), None),
            (key, None, Some(id)),
        ] {
            let arguments = json!({"p_user_id": p_user_id, "p_service_key": p_service_key});
            assert_eq!(serde_json::to_value(caller).unwrap(), arguments);
            assert_eq!(serde_json::from_value::<Caller>(arguments).unwrap(), caller);
        }
    }
}
