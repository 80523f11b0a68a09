//! `_enc`, the member that says how a config is sealed.

use serde_json::{Value, json};

use crate::config::{MAX_CONFIG_TEXT, StoredConfig, fields};
use crate::error::Fault;
use crate::key::Kid;

/// The name of the member, at the top of a stored config, that names the form and the key.
pub const ENC: &str = "_enc";

const VERSION: u64 = 2;

/// What a stored config is, as far as it can be told without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Form {
    /// Sealed in the current form, with this key.
    Current(Kid),
    /// There is a string in a sensitive field, and no `_enc`: the old form, which names no key.
    Old,
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
    match read(config.get(ENC)) {
        Ok(Some(kid)) => Form::Current(kid),
        Ok(None) => match fields(config, 2 * MAX_CONFIG_TEXT) {
            Ok(fields) if fields.is_empty() => Form::Empty,
            Ok(_) => Form::Old,
            Err(refused) => Form::Unknown {
                fault: refused.class(),
            },
        },
        Err(fault) => Form::Unknown { fault },
    }
}

/// Reads `_enc` as it stands in a config; `None` without one.
pub(crate) fn read(enc: Option<&Value>) -> Result<Option<Kid>, Fault> {
    let Some(enc) = enc else { return Ok(None) };
    let members = enc.as_object().ok_or(Fault::MalformedEnc)?;
    match members.get("v") {
        // By value: `2.0` is the same number in JSON, and some parsers cannot tell it from `2`.
        Some(Value::Number(version)) if version.as_f64() == Some(VERSION as f64) => {}
        Some(Value::Number(_)) => return Err(Fault::UnknownVersion),
        _ => return Err(Fault::MalformedEnc),
    }
    let kid = members
        .get("kid")
        .and_then(Value::as_str)
        .and_then(|kid| kid.parse().ok());
    // A further member would be a promise that this program does not know how to keep.
    if members.len() == 2 {
        kid.map(Some).ok_or(Fault::MalformedEnc)
    } else {
        Err(Fault::MalformedEnc)
    }
}

/// `_enc` of what is sealed with this key.
pub(crate) fn write(kid: Kid) -> Value {
    json!({"v": VERSION, "kid": kid.to_string()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let kid: Kid = "0123456789abcdef".parse().unwrap();
        let enc = write(kid);
        assert_eq!(enc.to_string(), r#"{"kid":"0123456789abcdef","v":2}"#);
        assert_eq!(read(Some(&enc)), Ok(Some(kid)));
        assert_eq!(read(None), Ok(None));
        let float = json!({"v": 2.0, "kid": kid.to_string()});
        assert_eq!(read(Some(&float)), Ok(Some(kid)));
    }

    #[test]
    fn takes_nothing_else() {
        let kid = "0123456789abcdef";
        for (enc, fault) in [
            (json!({"v": 3, "kid": kid}), Fault::UnknownVersion),
            (json!({"v": 1}), Fault::UnknownVersion),
            (json!({"v": 2.5, "kid": kid}), Fault::UnknownVersion),
            (json!({"v": -2, "kid": kid}), Fault::UnknownVersion),
            (json!({"v": 3, "alg": "x"}), Fault::UnknownVersion),
            (json!({"v": "2", "kid": kid}), Fault::MalformedEnc),
            (json!({"kid": kid}), Fault::MalformedEnc),
            (json!({"v": 2}), Fault::MalformedEnc),
            (
                json!({"v": 2, "kid": "0123456789ABCDEF"}),
                Fault::MalformedEnc,
            ),
            (json!({"v": 2, "kid": 5}), Fault::MalformedEnc),
            (json!({"v": 2, "kid": kid, "alg": "x"}), Fault::MalformedEnc),
            (json!(null), Fault::MalformedEnc),
            (json!("v2"), Fault::MalformedEnc),
            (json!([2, kid]), Fault::MalformedEnc),
            (json!({}), Fault::MalformedEnc),
        ] {
            assert_eq!(read(Some(&enc)), Err(fault), "{enc}");
        }
    }

    #[test]
    fn tells_the_forms_apart() {
        let form = |config: Value| form(config.as_object().unwrap());
        let kid = "0123456789abcdef";
        assert_eq!(form(json!({})), Form::Empty);
        assert_eq!(
            form(json!({"access_token": null, "a": {"b": ["c"]}})),
            Form::Empty
        );
        assert_eq!(form(json!({"access_token": "", "a": 1})), Form::Old);
        assert_eq!(form(json!({"a": [{"token": "x"}]})), Form::Old);
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
