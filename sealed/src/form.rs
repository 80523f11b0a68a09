use crate::config::{MAX_CONFIG_TEXT, StoredConfig, fields};
use crate::envelope::{self, ENC};
use crate::error::Fault;
use crate::kid::Kid;

/// What a stored config is, as far as it can be told without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Form {
    /// Sealed in the current form, with this key.
    Current(Kid),
    /// There is a string in a sensitive field, and no `_enc`: the legacy form, which names no key.
    Legacy,
    /// Neither `_enc` nor a string in a sensitive field: nothing is sealed, and it is the same under every key.
    Empty,
    /// No form that this program knows; it opens under no key.
    Unknown {
        /// Why.
        fault: Fault,
    },
}

/// Tells what a stored config is. It opens nothing, and so proves nothing: [`KeyRing::open`](crate::KeyRing::open) does.
pub fn form(config: &StoredConfig) -> Form {
    match envelope::read(config.get(ENC)) {
        Ok(Some(kid)) => Form::Current(kid),
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
            Form::Current(kid.parse().unwrap())
        );
        assert_eq!(
            form(json!({"_enc": {"v": 2, "kid": kid}, "token": 1})),
            Form::Current(kid.parse().unwrap())
        );
    }
}
