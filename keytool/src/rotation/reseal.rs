//! Turns the JSON text of a row's config into the patch that rewraps it.

use kms::WrappingKeys;
use sealed::{Form, Random, RandomError, ResealError, RowContext, form};
use serde_json::{Map, Value};

use super::finding::Finding;
use crate::config;
use crate::data_keys::DataKeys;

#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Nothing to do: it is sealed with the current data key, or nothing in it is sealed.
    Fine,
    /// Merge this JSON object into the config, which is sealed with another key or of the legacy form.
    Patch { json: String, from: Form },
    /// It does not open, and stays unchanged.
    Finding(Finding),
}

/// Makes the patch: the members that hold sealed values, and `_enc`.
pub fn reseal(
    ring: &WrappingKeys,
    data_keys: &DataKeys,
    context: &RowContext,
    text: &str,
    random: Random<'_>,
) -> Result<Verdict, RandomError> {
    let config = match config::parse(text) {
        Ok(config) => config,
        Err(why) => return Ok(Verdict::Finding(Finding::not_a_config(*context, why))),
    };
    let form = form(&config);
    if form == Form::Empty {
        return Ok(Verdict::Fine);
    }
    let finding = |error| Ok(Verdict::Finding(data_keys.finding(*context, form, error)));
    let keys = match data_keys.current(ring, context.organization_id) {
        Ok(keys) => keys,
        // A fault of the row itself comes first.
        Err((class, kind)) => {
            let keys = data_keys.keys(ring, context.organization_id);
            return match keys.open(context, &config) {
                Err(error) => finding(&error),
                Ok(_) => Ok(Verdict::Finding(Finding {
                    context: *context,
                    class,
                    pointer: "/_enc".to_owned(),
                    kind,
                })),
            };
        }
    };
    let moved = match keys.reseal(context, &config, random) {
        Ok(Some(moved)) => moved,
        Ok(None) => return Ok(Verdict::Fine),
        Err(ResealError::Open(error)) => return finding(&error),
        Err(ResealError::Random(error)) => return Err(error),
    };
    let changed: Map<_, _> = moved
        .into_iter()
        .filter(|(name, value)| config.get(name) != Some(value))
        .collect();
    let json = Value::Object(changed).to_string();
    Ok(Verdict::Patch { json, from: form })
}

#[cfg(test)]
mod tests {
    use sealed::{DataKey, ENC, Fault, Key, KeyRing, PlainConfig, StoredConfig};
    use serde_json::json;
    use uuid::Uuid;

    use super::super::finding::{Class, Kind};
    use super::*;
    use crate::store::data_keys::StoredDataKey;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];
    const DATA: [u8; 32] = [3; 32];

    fn ring(primary: [u8; 32], fallbacks: &[[u8; 32]]) -> WrappingKeys {
        let fallbacks = fallbacks.iter().copied().map(Key::from_bytes).collect();
        KeyRing::new(Key::from_bytes(primary), fallbacks)
            .unwrap()
            .into()
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
        let stored = ring(OLD, &[])
            .ring
            .seal(&context(), &plain, &mut counting());
        Value::Object(stored.unwrap())
    }

    /// One data key of the organization, wrapped with the first key of this ring and unwrapped with `ring`.
    fn data_keys(ring: &WrappingKeys, wrapping: &WrappingKeys) -> DataKeys {
        let wrapped = wrapping.ring.wrap(
            context().organization_id,
            &DataKey::from_bytes(DATA),
            &mut counting(),
        );
        let stored = StoredDataKey::new(context().organization_id, wrapped.unwrap());
        let answer = json!({"data_keys": [stored]});
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let data_keys = DataKeys::from_answer(ring, &answer);
        runtime.unwrap().block_on(data_keys).unwrap()
    }

    fn judge(ring: &WrappingKeys, text: &str) -> Verdict {
        let data_keys = data_keys(ring, ring);
        reseal(ring, &data_keys, &context(), text, &mut counting()).unwrap()
    }

    #[test]
    fn a_patch_holds_what_is_sealed_and_nothing_else() {
        let ring = ring(NEW, &[OLD]);
        let data_keys = data_keys(&ring, &ring);
        let keys = data_keys.keys(&ring, context().organization_id);
        for config in [
            sealed(
                &json!({"access_token": "a", "refresh_token": "", "none_key": null, "x\"y\\z/~_token": "ключ", "n": 1, "l": [1, "a"]}),
            ),
            sealed(
                &json!({"access_token": "a", "deep": [{"api_key": "b", "n": 5}], "o": {"p": {}}}),
            ),
            json!({"_enc": keys.enc(), "access_token": "x"}),
            json!({"project_id": "p", "l": [{"a": 1}]}),
        ] {
            let patch = match judge(&ring, &config.to_string()) {
                Verdict::Patch { json, .. } => json,
                verdict => {
                    assert_eq!(verdict, Verdict::Fine);
                    assert!(config["_enc"] == keys.enc() || config.get("_enc").is_none());
                    continue;
                }
            };
            let mut merged = map(&config);
            for (name, value) in config::parse(&patch).unwrap() {
                assert!(name == ENC || config[&name] != value, "{name}");
                merged.insert(name, value);
            }
            let after = keys.open(&context(), &merged).unwrap();
            let before = ring.ring.open(&context(), &map(&config)).unwrap();
            assert_eq!(after.as_map(), before.as_map());
            assert_eq!(merged[ENC], keys.enc());
        }
    }

    #[test]
    fn what_the_primary_key_seals_is_resealed_with_the_data_key() {
        let ring = ring(OLD, &[]);
        let text = sealed(&json!({"access_token": "a"})).to_string();
        let verdict = judge(&ring, &text);
        let Verdict::Patch { json, from } = verdict else {
            panic!("nothing to do")
        };
        assert_eq!(from, Form::V2(ring.primary_kid()));
        assert!(json.contains(r#""v":3"#), "{json}");
    }

    #[test]
    fn without_the_wrapping_key_nothing_is_resealed() {
        let here = ring(OLD, &[]);
        let locked = data_keys(&here, &ring(NEW, &[]));
        let text = sealed(&json!({"access_token": "a"})).to_string();
        let verdict = reseal(&here, &locked, &context(), &text, &mut counting());
        let Verdict::Finding(finding) = verdict.unwrap() else {
            panic!("{text}")
        };
        let missing = ring(NEW, &[]).primary_kid();
        assert_eq!(finding.kind, Kind::MissingKey(missing));
    }

    /// docs/format.md promises that plaintext members do not change.
    #[test]
    fn a_patch_changes_no_plaintext_beside_a_nested_secret() {
        let plain = r#"{"a":{"api_key":"b","n":123456789012345678901234567890.10,"x":{"$serde_json::private::Number":"5"}}}"#;
        let stored = ring(OLD, &[])
            .ring
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
        let ring = ring(NEW, &[OLD]);
        let data_keys = data_keys(&ring, &ring);
        let resealed = reseal(&ring, &data_keys, &context(), &text, &mut |_| {
            Err(RandomError)
        });
        assert_eq!(resealed, Err(RandomError));
    }
}
