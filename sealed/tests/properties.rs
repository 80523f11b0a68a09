//! What holds for every config, not for chosen ones.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "support/configs.rs"]
mod configs;

use configs::{config, public_leaf, random, secrets};
use proptest::collection::vec;
use proptest::prelude::*;
use sealed::{ENC, Fault, Form, Key, KeyRing, PlainConfig, RowContext, StoredConfig};
use serde_json::{Map, Value, json};
use uuid::Uuid;

fn context(n: u128) -> RowContext {
    RowContext {
        organization_id: Uuid::from_u128(n),
        integration_id: Uuid::from_u128(!n),
    }
}

fn ring(primary: u8, fallbacks: &[u8]) -> KeyRing {
    let key = |n: &u8| Key::from_bytes([*n; 32]);
    KeyRing::new(key(&primary), fallbacks.iter().map(key).collect()).unwrap()
}

fn seal(ring: &KeyRing, context: &RowContext, config: &Map<String, Value>) -> StoredConfig {
    ring.seal(
        context,
        &PlainConfig::from_map(config.clone()),
        &mut random(0),
    )
    .unwrap()
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_moves_and_nothing_else_changes(config in config(), n: u128) {
        let (old, both, new) = (ring(1, &[]), ring(2, &[1]), ring(2, &[]));
        let stored = seal(&old, &context(n), &config);

        let opened = old.open(&context(n), &stored).unwrap();
        prop_assert_eq!(opened.as_map(), &config);
        prop_assert_eq!(old.reseal(&context(n), &stored, &mut random(1)), Ok(None));

        let moved = both.reseal(&context(n), &stored, &mut random(1 << 32)).unwrap();
        if secrets(&config).is_empty() {
            prop_assert_eq!(moved, None);
            prop_assert_eq!(&stored, &config);
            prop_assert_eq!(sealed::form(&stored), Form::Empty);
            return Ok(());
        }
        let moved = moved.unwrap();
        prop_assert_eq!(sealed::form(&stored), Form::V2(old.primary_kid()));
        prop_assert_eq!(sealed::form(&moved), Form::V2(new.primary_kid()));
        let opened = new.open(&context(n), &moved).unwrap();
        prop_assert_eq!(opened.as_map(), &config);
        prop_assert_eq!(old.open(&context(n), &moved).unwrap_err().class(), Fault::UnknownKey);
        prop_assert_eq!(both.reseal(&context(n), &moved, &mut random(1)), Ok(None));

        // Only the texts and `_enc` are different, and every text is.
        let (mut a, mut b, mut plain) = (Value::Object(stored), Value::Object(moved), Value::Object(config.clone()));
        for (pointer, text) in secrets(&config) {
            let (a, b) = (a.pointer_mut(&pointer).unwrap(), b.pointer_mut(&pointer).unwrap());
            prop_assert_ne!(&*a, &*b);
            prop_assert!(text.len() < 16 || !a.to_string().contains(&text));
            (*a, *b, *plain.pointer_mut(&pointer).unwrap()) = (Value::Null, Value::Null, Value::Null);
        }
        for value in [&mut a, &mut b] {
            value.as_object_mut().unwrap().remove(ENC);
            prop_assert_eq!(&*value, &plain);
        }
    }

    #[test]
    fn it_opens_in_its_own_place_only(config in config(), n: u128, other: u128) {
        prop_assume!(n != other && !secrets(&config).is_empty());
        let ring = ring(1, &[]);
        let stored = seal(&ring, &context(n), &config);
        for context in [
            context(other),
            RowContext { organization_id: context(other).organization_id, ..context(n) },
            RowContext { integration_id: context(other).integration_id, ..context(n) },
        ] {
            prop_assert_eq!(ring.open(&context, &stored).unwrap_err().class(), Fault::NotAuthentic);
        }
    }

    #[test]
    fn two_fields_cannot_be_exchanged(a: String, b: String, n: u128) {
        let ring = ring(1, &[]);
        let config = json!({"access_token": a, "refresh_token": b});
        let mut stored = seal(&ring, &context(n), config.as_object().unwrap());
        let (a, b) = (stored["access_token"].clone(), stored["refresh_token"].clone());
        stored.extend([("access_token".to_owned(), b), ("refresh_token".to_owned(), a)]);
        prop_assert_eq!(ring.open(&context(n), &stored).unwrap_err().class(), Fault::NotAuthentic);
    }

    #[test]
    fn any_other_text_in_its_place_is_refused(text: String, cut in 0..100_usize, n: u128) {
        let ring = ring(1, &[]);
        let mut stored = seal(&ring, &context(n), json!({"token": text}).as_object().unwrap());
        let sealed = stored["token"].as_str().unwrap().to_owned();
        for changed in [
            sealed[..sealed.len().saturating_sub(1 + cut)].to_owned(),
            sealed[1 + cut % (sealed.len() - 1)..].to_owned(),
            format!("{sealed}A"),
            format!("{sealed}AAAA"),
            sealed.replacen('.', "..", 1),
            text,
        ] {
            stored["token"] = changed.into();
            prop_assert!(ring.open(&context(n), &stored).is_err());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,80}", parts in vec("[-A-Za-z0-9+/_=]{0,40}", 0..5), kid in "[0-9a-f]{16}") {
        let ring = ring(1, &[2]);
        for text in [text, parts.join(".")] {
            for config in [
                json!({"token": text}),
                json!({"token": text, "_enc": {"v": 2, "kid": ring.primary_kid().to_string()}}),
                json!({"token": text, "_enc": {"v": 2, "kid": kid}}),
                json!({"_enc": text}),
            ] {
                let config = config.as_object().unwrap();
                let opens = ring.open(&context(1), config).is_ok();
                prop_assert_eq!(opens, config == json!({"token": ""}).as_object().unwrap());
                let _ = sealed::form(config);
                let _ = Key::from_base64(&text);
            }
        }
    }

    #[test]
    fn no_config_makes_it_panic(config in config(), enc in public_leaf()) {
        let ring = ring(1, &[2]);
        let _ = ring.open(&context(1), &config);
        let mut config = config;
        config.insert(ENC.to_owned(), enc);
        prop_assert!(ring.open(&context(1), &config).is_err());
        let unknown = matches!(sealed::form(&config), Form::Unknown { .. });
        prop_assert!(unknown);
    }
}

/// Threat model 19 in full: every bit of iv, tag and ciphertext, and every other character at every place of the text.
#[test]
fn every_flipped_bit_and_every_other_character_is_refused() {
    let ring = ring(1, &[2]);
    let config = json!({"access_token": "sbp_oauth_0123456789abcdef0123456789"});
    let stored = seal(&ring, &context(1), config.as_object().unwrap());
    let mut refused = 0;
    // Without `_enc` it would be of the legacy form: no changed text opens there either.
    for enc in [stored.get(ENC), None] {
        let mut stored = stored.clone();
        if enc.is_none() {
            stored.remove(ENC);
        }
        let sealed = stored["access_token"].as_str().unwrap().to_owned();
        for at in 0..sealed.len() {
            for with in (0..128_u8).filter(|with| *with != sealed.as_bytes()[at]) {
                let mut changed = sealed.clone().into_bytes();
                changed[at] = with;
                stored["access_token"] = String::from_utf8(changed).unwrap().into();
                let error = ring.open(&context(1), &stored).unwrap_err();
                assert_eq!(error.to_string(), "the stored credentials do not open");
                refused += 1;
            }
        }
    }
    assert!(refused > 20_000);
}
