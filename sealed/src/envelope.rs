//! `_enc`, the member that names the form and the key of a config.

use serde_json::{Value, json};

use crate::error::Fault;
use crate::kid::Kid;

/// The name of that member, at the top of a stored config.
pub const ENC: &str = "_enc";

/// Who owns the key of a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The deployment: a key of the ring.
    V2,
    /// The organization: its data key.
    V3,
}

impl Version {
    /// How the authenticated data of the form begins.
    pub fn label(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }
}

/// A config's `_enc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enc {
    pub version: Version,
    pub kid: Kid,
}

/// Reads a config's `_enc`. `None` if there is none.
pub(crate) fn read(enc: Option<&Value>) -> Result<Option<Enc>, Fault> {
    let Some(enc) = enc else { return Ok(None) };
    let members = enc.as_object().ok_or(Fault::MalformedEnc)?;
    let version = match members.get("v") {
        // Compared by value: `2.0` is the same number in JSON, and some parsers do not distinguish it from `2`.
        Some(Value::Number(version)) if version.as_f64() == Some(2.0) => Version::V2,
        Some(Value::Number(version)) if version.as_f64() == Some(3.0) => Version::V3,
        Some(Value::Number(_)) => return Err(Fault::UnknownVersion),
        _ => return Err(Fault::MalformedEnc),
    };
    let kid: Option<Kid> = members
        .get("kid")
        .and_then(Value::as_str)
        .and_then(|kid| kid.parse().ok());
    // A further member could have a meaning that this program does not know.
    if members.len() == 2 {
        kid.map(|kid| Some(Enc { version, kid }))
            .ok_or(Fault::MalformedEnc)
    } else {
        Err(Fault::MalformedEnc)
    }
}

/// Writes the `_enc` of a config that is sealed with this key.
pub(crate) fn write(enc: Enc) -> Value {
    let version = match enc.version {
        Version::V2 => 2,
        Version::V3 => 3,
    };
    json!({"v": version, "kid": enc.kid.to_string()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let kid: Kid = "0123456789abcdef".parse().unwrap();
        for (version, number) in [(Version::V2, 2), (Version::V3, 3)] {
            let enc = write(Enc { version, kid });
            let text = format!(r#"{{"kid":"0123456789abcdef","v":{number}}}"#);
            assert_eq!(enc.to_string(), text);
            assert_eq!(read(Some(&enc)), Ok(Some(Enc { version, kid })));
            let float = json!({"v": f64::from(number), "kid": kid.to_string()});
            assert_eq!(read(Some(&float)), Ok(Some(Enc { version, kid })));
        }
        assert_eq!(read(None), Ok(None));
    }

    #[test]
    fn takes_nothing_else() {
        let kid = "0123456789abcdef";
        for (enc, fault) in [
            (json!({"v": 4, "kid": kid}), Fault::UnknownVersion),
            (json!({"v": 1}), Fault::UnknownVersion),
            (json!({"v": 2.5, "kid": kid}), Fault::UnknownVersion),
            (json!({"v": -2, "kid": kid}), Fault::UnknownVersion),
            (json!({"v": 4, "alg": "x"}), Fault::UnknownVersion),
            (json!({"v": "2", "kid": kid}), Fault::MalformedEnc),
            (json!({"kid": kid}), Fault::MalformedEnc),
            (json!({"v": 2}), Fault::MalformedEnc),
            (
                json!({"v": 2, "kid": "0123456789ABCDEF"}),
                Fault::MalformedEnc,
            ),
            (json!({"v": 3}), Fault::MalformedEnc),
            (json!({"v": 2, "kid": 5}), Fault::MalformedEnc),
            (json!({"v": 2, "kid": kid, "alg": "x"}), Fault::MalformedEnc),
            (json!({"v": 3, "kid": kid, "key": "x"}), Fault::MalformedEnc),
            (json!(null), Fault::MalformedEnc),
            (json!("v2"), Fault::MalformedEnc),
            (json!([2, kid]), Fault::MalformedEnc),
            (json!({}), Fault::MalformedEnc),
        ] {
            assert_eq!(read(Some(&enc)), Err(fault), "{enc}");
        }
    }
}
