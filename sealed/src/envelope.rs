//! `_enc`, the member that names the form and the key of a config.

use serde_json::{Value, json};

use crate::error::Fault;
use crate::kid::Kid;

/// The name of that member, at the top of a stored config.
pub const ENC: &str = "_enc";

const VERSION: u64 = 2;

/// Reads a config's `_enc`. `None` if there is none.
pub(crate) fn read(enc: Option<&Value>) -> Result<Option<Kid>, Fault> {
    let Some(enc) = enc else { return Ok(None) };
    let members = enc.as_object().ok_or(Fault::MalformedEnc)?;
    match members.get("v") {
        // Compared by value: `2.0` is the same number in JSON, and some parsers do not distinguish it from `2`.
        Some(Value::Number(version)) if version.as_f64() == Some(VERSION as f64) => {}
        Some(Value::Number(_)) => return Err(Fault::UnknownVersion),
        _ => return Err(Fault::MalformedEnc),
    }
    let kid = members
        .get("kid")
        .and_then(Value::as_str)
        .and_then(|kid| kid.parse().ok());
    // A further member could have a meaning that this program does not know.
    if members.len() == 2 {
        kid.map(Some).ok_or(Fault::MalformedEnc)
    } else {
        Err(Fault::MalformedEnc)
    }
}

/// Writes the `_enc` of a config that is sealed with this key.
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
}
