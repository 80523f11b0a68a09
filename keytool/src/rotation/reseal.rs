//! From a row's config as JSON text to the patch that moves it to the primary key.

use sealed::{Form, KeyRing, Kid, Place, Random, RandomError, ResealError, form};
use serde_json::Value;

use super::finding::Finding;

/// What is to be done about a row.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Nothing: it is on the primary key, or nothing in it is sealed.
    Fine,
    /// Merge this JSON object into the config, which is sealed with another key, or in the old form.
    Patch { json: String, from: Option<Kid> },
    /// It does not open, and stays as it is.
    Finding(Finding),
}

/// Reseals a row. The patch holds what changed: the fields that hold secrets, whole, and `_enc`.
pub fn reseal(
    ring: &KeyRing,
    place: &Place,
    config: &str,
    random: Random<'_>,
) -> Result<Verdict, RandomError> {
    let Ok(Value::Object(config)) = serde_json::from_str(config) else {
        return Ok(Verdict::Finding(Finding::no_object(*place)));
    };
    match ring.reseal(place, &config, random) {
        Ok(None) => Ok(Verdict::Fine),
        Ok(Some(moved)) => {
            let changed = moved
                .into_iter()
                .filter(|(name, value)| config.get(name) != Some(value));
            let json = Value::Object(changed.collect()).to_string();
            let from = match form(&config) {
                Form::Current(kid) => Some(kid),
                _ => None,
            };
            Ok(Verdict::Patch { json, from })
        }
        Err(ResealError::Open(error)) => Ok(Verdict::Finding(Finding::new(*place, &error))),
        Err(ResealError::Random(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use sealed::{ENC, Key, PlainConfig, StoredConfig};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    fn ring(primary: [u8; 32], fallbacks: &[[u8; 32]]) -> KeyRing {
        let fallbacks = fallbacks.iter().copied().map(Key::from_bytes).collect();
        KeyRing::new(Key::from_bytes(primary), fallbacks).unwrap()
    }

    fn place() -> Place {
        Place {
            organization_id: Uuid::from_u128(1),
            integration_id: Uuid::from_u128(2),
        }
    }

    /// The same bytes in the same order for both ways.
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

    fn map(value: Value) -> StoredConfig {
        value.as_object().unwrap().clone()
    }

    fn sealed(plain: Value) -> Value {
        let plain = PlainConfig::from_map(map(plain));
        Value::Object(
            ring(OLD, &[])
                .seal(&place(), &plain, &mut counting())
                .unwrap(),
        )
    }

    fn with(mut config: Value, name: &str, value: Value) -> Value {
        config[name] = value;
        config
    }

    fn configs() -> Vec<Value> {
        let flat = sealed(json!({
            "access_token": "a", "refresh_token": "", "none_key": null, "x\"y\\z/~_token": "ключ", "n": 1, "l": [1, "a"], "b": true
        }));
        let nested = sealed(
            json!({"access_token": "a", "deep": [{"api_key": "b", "n": 5}], "o": {"p": {}}}),
        );
        vec![
            json!({}),
            json!({"project_id": "p", "l": [{"a": 1}]}),
            json!({"access_token": null}),
            with(flat.clone(), "access_token", json!("changed")),
            with(flat.clone(), "access_token", flat["refresh_token"].clone()),
            with(flat.clone(), "access_token", json!(5)),
            with(flat.clone(), "api_key", json!(["x"])),
            with(flat.clone(), "api_key", json!({})),
            with(flat.clone(), "api_key", json!("in the clear")),
            with(
                flat.clone(),
                "_enc",
                json!({"v": 3, "kid": "0123456789abcdef"}),
            ),
            with(
                flat.clone(),
                "_enc",
                json!({"v": 2, "kid": "0123456789abcdef"}),
            ),
            with(flat.clone(), "_enc", json!(null)),
            with(flat.clone(), "filler", json!("x".repeat(100_000))),
            with(
                nested.clone(),
                "big",
                serde_json::from_str("1234567890123456789012345678901234567890.10").unwrap(),
            ),
            json!({"_enc": flat["_enc"]}),
            flat,
            nested,
        ]
    }

    #[test]
    fn a_patch_holds_what_is_sealed_and_nothing_else() {
        let ring = ring(NEW, &[OLD]);
        for config in configs() {
            let Verdict::Patch { json: patch, .. } =
                reseal(&ring, &place(), &config.to_string(), &mut counting()).unwrap()
            else {
                continue;
            };
            let patch = map(serde_json::from_str(&patch).unwrap());
            let mut merged = map(config.clone());
            for (name, value) in patch {
                assert!(name == ENC || config[&name] != value, "{name}");
                merged.insert(name, value);
            }
            let after = ring.open(&place(), &merged).unwrap();
            assert_eq!(
                after.as_map(),
                ring.open(&place(), &map(config)).unwrap().as_map()
            );
            assert_eq!(merged[ENC], ring.enc());
        }
    }

    #[test]
    fn what_is_no_object_is_a_finding() {
        for text in ["null", "\"text\"", "[]", "7", "", "{"] {
            let verdict = reseal(&ring(NEW, &[]), &place(), text, &mut counting()).unwrap();
            assert_eq!(
                verdict,
                Verdict::Finding(Finding::no_object(place())),
                "{text}"
            );
        }
    }

    #[test]
    fn without_randomness_nothing_is_sealed() {
        let text = sealed(json!({"access_token": "a"})).to_string();
        assert_eq!(
            reseal(&ring(NEW, &[OLD]), &place(), &text, &mut |_| Err(
                RandomError
            )),
            Err(RandomError)
        );
    }
}
