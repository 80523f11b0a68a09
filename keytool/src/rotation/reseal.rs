//! Turns the JSON text of a row's config into the patch that rewraps it.

use sealed::{Form, KeyRing, Kid, Random, RandomError, ResealError, RowContext, form};
use serde_json::{Map, Value};

use super::finding::Finding;
use crate::config;

#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Nothing to do: it is sealed with the primary key, or nothing in it is sealed.
    Fine,
    /// Merge this JSON object into the config, which is sealed with another key or of the legacy form.
    Patch { json: String, from: Option<Kid> },
    /// It does not open, and stays unchanged.
    Finding(Finding),
}

/// Makes the patch: the members that hold sealed values, and `_enc`.
pub fn reseal(
    ring: &KeyRing,
    context: &RowContext,
    text: &str,
    random: Random<'_>,
) -> Result<Verdict, RandomError> {
    let config = match config::parse(text) {
        Ok(config) => config,
        Err(why) => return Ok(Verdict::Finding(Finding::not_a_config(*context, why))),
    };
    let moved = match ring.reseal(context, &config, random) {
        Ok(Some(moved)) => moved,
        Ok(None) => return Ok(Verdict::Fine),
        Err(ResealError::Open(error)) => {
            return Ok(Verdict::Finding(Finding::new(
                *context,
                form(&config),
                &error,
            )));
        }
        Err(ResealError::Random(error)) => return Err(error),
    };
    let changed: Map<_, _> = moved
        .into_iter()
        .filter(|(name, value)| config.get(name) != Some(value))
        .collect();
    let from = match form(&config) {
        Form::V2(kid) => Some(kid),
        _ => None,
    };
    let json = Value::Object(changed).to_string();
    Ok(Verdict::Patch { json, from })
}

#[cfg(test)]
mod tests {
    use sealed::{ENC, Fault, Key, PlainConfig, StoredConfig};
    use serde_json::json;
    use uuid::Uuid;

    use super::super::finding::Class;
    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    fn ring(primary: [u8; 32], fallbacks: &[[u8; 32]]) -> KeyRing {
        let fallbacks = fallbacks.iter().copied().map(Key::from_bytes).collect();
        KeyRing::new(Key::from_bytes(primary), fallbacks).unwrap()
    }

    fn context() -> RowContext {
        RowContext {
            organization_id: Uuid::from_u128(1),
            integration_id: Uuid::from_u128(2),
        }
    }

    fn counting() -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
        let mut next = 0u8;
        move |bytes| {
            for byte in bytes {
                next = next.wrapping_add(37);
                *byte = next;
            }
            Ok(())
        }
    }

    fn map(value: &Value) -> StoredConfig {
        value.as_object().unwrap().clone()
    }

    fn sealed(plain: &Value) -> Value {
        let plain = PlainConfig::from_map(map(plain));
        let stored = ring(OLD, &[]).seal(&context(), &plain, &mut counting());
        Value::Object(stored.unwrap())
    }

    fn judge(ring: &KeyRing, text: &str) -> Verdict {
        reseal(ring, &context(), text, &mut counting()).unwrap()
    }

    #[test]
    fn a_patch_holds_what_is_sealed_and_nothing_else() {
        let ring = ring(NEW, &[OLD]);
        for config in [
            sealed(
                &json!({"access_token": "a", "refresh_token": "", "none_key": null, "x\"y\\z/~_token": "ключ", "n": 1, "l": [1, "a"]}),
            ),
            sealed(
                &json!({"access_token": "a", "deep": [{"api_key": "b", "n": 5}], "o": {"p": {}}}),
            ),
            json!({"_enc": ring.enc(), "access_token": "x"}),
            json!({"project_id": "p", "l": [{"a": 1}]}),
        ] {
            let patch = match judge(&ring, &config.to_string()) {
                Verdict::Patch { json, .. } => json,
                verdict => {
                    assert_eq!(verdict, Verdict::Fine);
                    assert!(config["_enc"] == ring.enc() || config.get("_enc").is_none());
                    continue;
                }
            };
            let mut merged = map(&config);
            for (name, value) in config::parse(&patch).unwrap() {
                assert!(name == ENC || config[&name] != value, "{name}");
                merged.insert(name, value);
            }
            let after = ring.open(&context(), &merged).unwrap();
            let before = ring.open(&context(), &map(&config)).unwrap();
            assert_eq!(after.as_map(), before.as_map());
            assert_eq!(merged[ENC], ring.enc());
        }
    }

    /// docs/format.md promises that plaintext members do not change.
    #[test]
    fn a_patch_changes_no_plaintext_beside_a_nested_secret() {
        let plain = r#"{"a":{"api_key":"b","n":123456789012345678901234567890.10,"x":{"$serde_json::private::Number":"5"}}}"#;
        let stored = ring(OLD, &[])
            .seal(
                &context(),
                &PlainConfig::from_map(config::parse(plain).unwrap()),
                &mut counting(),
            )
            .unwrap();
        let Verdict::Patch { json: patch, .. } =
            judge(&ring(NEW, &[OLD]), &Value::Object(stored).to_string())
        else {
            panic!("nothing to do")
        };
        assert!(
            patch.contains(r#""n":123456789012345678901234567890.10"#),
            "{patch}"
        );
        assert!(
            patch.contains(r#""x":{"$serde_json::private::Number":"5"}"#),
            "{patch}"
        );
    }

    #[test]
    fn what_is_no_config_is_a_finding() {
        for (text, class) in [
            ("null", Class::NoObject),
            ("\"text\"", Class::NoObject),
            ("[]", Class::NoObject),
            ("7", Class::NoObject),
            ("", Class::NoObject),
            ("{", Class::NoObject),
            (
                &format!(r#"{{"x":{}{}}}"#, "[".repeat(130), "]".repeat(130)),
                Class::Fault(Fault::TooDeep),
            ),
        ] {
            let Verdict::Finding(finding) = judge(&ring(NEW, &[]), text) else {
                panic!("{text}")
            };
            assert_eq!(
                (finding.context, finding.class),
                (context(), class),
                "{text}"
            );
        }
    }

    #[test]
    fn without_randomness_nothing_is_sealed() {
        let text = sealed(&json!({"access_token": "a"})).to_string();
        assert_eq!(
            reseal(&ring(NEW, &[OLD]), &context(), &text, &mut |_| Err(
                RandomError
            )),
            Err(RandomError)
        );
    }
}
