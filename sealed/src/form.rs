use crate::config::{MAX_CONFIG_TEXT, StoredConfig, fields};
use crate::envelope::{self, ENC, Enc, Version};
use crate::error::Fault;
use crate::kid::Kid;

/// The form of a stored config, as far as it shows without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Form {
    /// Sealed with this key of the ring.
    V2(Kid),
    /// Sealed with this data key of the organization.
    V3(Kid),
    /// Legacy form, which names no key: a string in a sensitive field, and no `_enc`.
    Legacy,
    /// Nothing is sealed: neither `_enc` nor a string in a sensitive field. Every key opens it.
    Empty,
    /// An unknown form, which no key opens.
    Unknown {
        /// The fault.
        fault: Fault,
    },
}

/// Returns the form of a stored config. It proves nothing about its values: only [`KeyRing::open`](crate::KeyRing::open) does.
pub fn form(config: &StoredConfig) -> Form {
    match envelope::read(config.get(ENC)) {
        Ok(Some(Enc { version, kid })) => match version {
            Version::V2 => Form::V2(kid),
            Version::V3 => Form::V3(kid),
        },
        Ok(None) => match fields(config, 2 * MAX_CONFIG_TEXT) {
            Ok(fields) if fields.is_empty() => Form::Empty,
            Ok(_) => Form::Legacy,
            Err(refused) => Form::Unknown {
                fault: refused.class(),
            },
        },
        Err(fault) => Form::Unknown { fault },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn tells_the_forms_apart() {
        let form = |config: Value| form(config.as_object().unwrap());
        let kid = "0123456789abcdef";
        assert_eq!(form(json!({})), Form::Empty);
        assert_eq!(
            form(json!({"access_token": null, "a": {"b": ["c"]}})),
            Form::Empty
        );
        assert_eq!(form(json!({"access_token": "", "a": 1})), Form::Legacy);
        assert_eq!(form(json!({"a": [{"token": "x"}]})), Form::Legacy);
        assert_eq!(form(json!({"a": {"_enc": {"v": 3}}})), Form::Empty);
        assert_eq!(
            form(json!({"token": 1})),
            Form::Unknown {
                fault: Fault::WrongType
            }
        );
        assert_eq!(
            form(json!({"_enc": 1})),
            Form::Unknown {
                fault: Fault::MalformedEnc
            }
        );
        assert_eq!(
            form(json!({"_enc": {"v": 2, "kid": kid}})),
            Form::V2(kid.parse().unwrap())
        );
        assert_eq!(
            form(json!({"_enc": {"v": 3, "kid": kid}})),
            Form::V3(kid.parse().unwrap())
        );
        assert_eq!(
            form(json!({"_enc": {"v": 2, "kid": kid}, "token": 1})),
            Form::V2(kid.parse().unwrap())
        );
    }
}
