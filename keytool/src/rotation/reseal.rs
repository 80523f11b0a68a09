//! From a row's config as JSON text to the patch that moves it to the primary key.
//!
//! Nearly every config is flat, with its secrets at the top. Of such a one only the sealed texts and `_enc` are parsed; what is
//! not secret is skipped over as it stands. Everything else goes the long way, through the whole of the config, and both
//! ways give the same (see the tests).

use std::borrow::Cow;
use std::fmt::{self, Write};

use sealed::{ENC, KeyRing, Place, Random, RandomError, ResealError, StoredConfig, is_sensitive};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::finding::Finding;

/// What is to be done about a row.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Nothing: it is on the primary key, or nothing in it is sealed.
    Fine,
    /// Merge this JSON object into the config.
    Patch(String),
    /// It does not open, and stays as it is.
    Finding(Finding),
}

/// Reseals one row after the other.
pub struct Reseal<'a> {
    ring: &'a KeyRing,
    /// The `_enc` that is written, as text.
    written: String,
    /// The `_enc` that was read last, as text and parsed: from one row to the next it seldom changes.
    read: (String, Value),
}

impl<'a> Reseal<'a> {
    pub fn new(ring: &'a KeyRing) -> Self {
        Self {
            ring,
            written: ring.enc().to_string(),
            read: ("null".to_owned(), Value::Null),
        }
    }

    pub fn row(
        &mut self,
        place: &Place,
        config: &str,
        random: Random<'_>,
    ) -> Result<Verdict, RandomError> {
        let outcome = match Flat::read(config) {
            Some(flat) => self.flat(&flat, place, random),
            None => match serde_json::from_str(config) {
                Ok(Value::Object(config)) => reseal_whole(self.ring, place, &config, random),
                _ => return Ok(Verdict::Finding(Finding::no_object(*place))),
            },
        };
        match outcome {
            Ok(None) => Ok(Verdict::Fine),
            Ok(Some(patch)) => Ok(Verdict::Patch(patch)),
            Err(ResealError::Open(error)) => Ok(Verdict::Finding(Finding::new(*place, &error))),
            Err(ResealError::Random(error)) => Err(error),
        }
    }

    /// The short way.
    fn flat(&mut self, flat: &Flat<'_>, place: &Place, random: Random<'_>) -> Outcome {
        if let Some(enc) = flat.enc
            && enc != self.read.0
        {
            // It was found to be JSON, and is too short to be nested too deep.
            let value = serde_json::from_str(enc).unwrap_or_default();
            self.read = (enc.to_owned(), value);
        }
        let enc = flat.enc.map(|_| &self.read.1);
        let fields: Vec<(&str, &str)> = flat
            .secrets
            .iter()
            .map(|(pointer, _, text)| (&**pointer, &**text))
            .collect();
        let Some(texts) = self.ring.reseal_texts(place, enc, &fields, random)? else {
            return Ok(None);
        };
        let length: usize = texts.iter().map(|text| text.len() + 32).sum();
        let mut patch = String::with_capacity(64 + length);
        for part in ["{\"", ENC, "\":", &self.written] {
            patch.push_str(part);
        }
        for ((_, name, _), text) in flat.secrets.iter().zip(&texts) {
            // Writing to a String does not fail. A sealed text is base64 and dots: nothing in it is escaped.
            let _ = write!(patch, ",{}:\"", Value::from(&**name));
            patch.push_str(text);
            patch.push('"');
        }
        patch.push('}');
        Ok(Some(patch))
    }
}

type Outcome = Result<Option<String>, ResealError>;

/// The long way: all of it is resealed, and what changed is the patch.
fn reseal_whole(
    ring: &KeyRing,
    place: &Place,
    config: &StoredConfig,
    random: Random<'_>,
) -> Outcome {
    let Some(moved) = ring.reseal(place, config, random)? else {
        return Ok(None);
    };
    let changed: serde_json::Map<_, _> = moved
        .into_iter()
        .filter(|(name, value)| config.get(name) != Some(value))
        .collect();
    Ok(Some(Value::Object(changed).to_string()))
}

/// The parts of a flat config that a rotation needs.
struct Flat<'a> {
    enc: Option<&'a str>,
    /// Names of sensitive fields, as JSON Pointers and as they are, and their strings.
    secrets: Vec<(String, Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Flat<'a> {
    /// No larger than what any bound of the format could strike, so that the long way need not be asked.
    const MAX_TEXT: usize = 64 * 1024;
    const MAX_MEMBERS: usize = 1000;
    /// Longer ones are none.
    const MAX_ENC: usize = 100;

    /// `None` if it takes the long way to tell what it is.
    fn read(config: &'a str) -> Option<Self> {
        if config.len() > Self::MAX_TEXT {
            return None;
        }
        let Members(members) = serde_json::from_str(config).ok()?;
        if members.len() > Self::MAX_MEMBERS {
            return None;
        }
        let mut flat = Self {
            enc: None,
            secrets: Vec::with_capacity(4),
        };
        for (Text(name), value) in members {
            let value = value.get();
            match value.as_bytes().first()? {
                _ if name == ENC && value.len() <= Self::MAX_ENC => flat.enc = Some(value),
                _ if name == ENC => return None,
                // Something may be nested in it that is secret, or that is where a secret ought to be.
                b'{' | b'[' if holds_objects(value) => return None,
                b'"' if is_sensitive(&name) => {
                    let Text(text) = serde_json::from_str(value).ok()?;
                    flat.secrets.push((pointer(&name), name, text));
                }
                b'n' => {}
                _ if is_sensitive(&name) => return None,
                _ => {}
            }
        }
        Some(flat)
    }
}

/// An array of plain values is flat as well; arrays and objects in it are not.
fn holds_objects(value: &str) -> bool {
    value.starts_with('{') || value[1..].contains(['{', '['])
}

fn pointer(name: &str) -> String {
    if name.contains(['~', '/']) {
        format!("/{}", name.replace('~', "~0").replace('/', "~1"))
    } else {
        format!("/{name}")
    }
}

/// The members of an object, their values unread.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Walk)
    }
}

/// A string, borrowed where nothing in it is escaped.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

#[cfg(test)]
mod tests {
    use sealed::{Key, PlainConfig};
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

    /// The long way is the crate's own; whatever the config, the short one gives the same.
    #[test]
    fn both_ways_give_the_same() {
        let mut flat = 0;
        for ring in [ring(NEW, &[OLD]), ring(NEW, &[]), ring(OLD, &[NEW])] {
            for config in configs() {
                let text = config.to_string();
                let found = Reseal::new(&ring)
                    .row(&place(), &text, &mut counting())
                    .unwrap();
                let expected =
                    match reseal_whole(&ring, &place(), &map(config.clone()), &mut counting()) {
                        Ok(None) => Verdict::Fine,
                        Ok(Some(patch)) => Verdict::Patch(patch),
                        Err(ResealError::Open(error)) => {
                            Verdict::Finding(Finding::new(place(), &error))
                        }
                        Err(ResealError::Random(_)) => unreachable!(),
                    };
                match (&found, &expected) {
                    (Verdict::Patch(found), Verdict::Patch(expected)) => {
                        let parse = |text| serde_json::from_str::<Value>(text).unwrap();
                        assert_eq!(parse(found), parse(expected), "{text:.200}");
                    }
                    _ => assert_eq!(found, expected, "{text:.200}"),
                }
                flat += usize::from(Flat::read(&text).is_some());
            }
        }
        assert!(flat > 20, "{flat} went the short way");
    }

    #[test]
    fn a_patch_holds_what_is_sealed_and_nothing_else() {
        let ring = ring(NEW, &[OLD]);
        for config in configs() {
            let Verdict::Patch(patch) = Reseal::new(&ring)
                .row(&place(), &config.to_string(), &mut counting())
                .unwrap()
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
            let verdict = Reseal::new(&ring(NEW, &[]))
                .row(&place(), text, &mut counting())
                .unwrap();
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
            Reseal::new(&ring(NEW, &[OLD])).row(&place(), &text, &mut |_| Err(RandomError)),
            Err(RandomError)
        );
    }
}
