//! What holds for every config that a data key seals, and for every wrapped data key.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "support/configs.rs"]
mod configs;

use configs::{config, random, secrets};
use proptest::prelude::*;
use sealed::{
    DataKey, ENC, Fault, Form, Key, KeyRing, OrganizationKeys, PlainConfig, RowContext,
    StoredConfig, WrappedKey,
};
use serde_json::{Map, json};
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

fn data_keys(bytes: &[u8]) -> Vec<DataKey> {
    bytes
        .iter()
        .map(|n| DataKey::from_bytes([*n; 32]))
        .collect()
}

fn seal(
    ring: &KeyRing,
    data_keys: &[DataKey],
    context: &RowContext,
    config: &Map<String, serde_json::Value>,
) -> StoredConfig {
    let plain = PlainConfig::from_map(config.clone());
    let keys = OrganizationKeys::new(ring, data_keys);
    keys.seal(context, &plain, &mut random(0)).unwrap()
}

fn fault(
    ring: &KeyRing,
    data_keys: &[DataKey],
    context: &RowContext,
    stored: &StoredConfig,
) -> Fault {
    let keys = OrganizationKeys::new(ring, data_keys);
    keys.open(context, stored).unwrap_err().class()
}

proptest! {
    #[test]
    fn every_form_moves_to_the_current_data_key(config in config(), n: u128) {
        let (ring, all, current) = (ring(2, &[1]), data_keys(&[11, 12]), data_keys(&[11]));
        let keys = OrganizationKeys::new(&ring, &all);
        let former = seal(&ring, &all[1..], &context(n), &config);
        let primary = seal(&ring, &[], &context(n), &config);
        for stored in [former, primary] {
            let opened = keys.open(&context(n), &stored).unwrap();
            prop_assert_eq!(opened.as_map(), &config);
            let moved = keys.reseal(&context(n), &stored, &mut random(1 << 32)).unwrap();
            if secrets(&config).is_empty() {
                prop_assert_eq!(moved, None);
                prop_assert_eq!(&stored, &config);
                continue;
            }
            let moved = moved.unwrap();
            prop_assert_eq!(sealed::form(&moved), Form::V3(current[0].kid()));
            // No key of the ring has a part in it.
            let opened = OrganizationKeys::new(&self::ring(9, &[]), &current).open(&context(n), &moved).unwrap();
            prop_assert_eq!(opened.as_map(), &config);
            prop_assert_eq!(keys.reseal(&context(n), &moved, &mut random(1)), Ok(None));
            prop_assert_eq!(fault(&ring, &all[1..], &context(n), &moved), Fault::UnknownKey);
            prop_assert_eq!(fault(&ring, &[], &context(n), &moved), Fault::UnknownKey);
        }
    }

    #[test]
    fn the_legacy_form_moves_to_the_current_data_key(text: String, n: u128) {
        let (ring, all) = (ring(2, &[1]), data_keys(&[11]));
        let keys = OrganizationKeys::new(&ring, &all);
        let mut legacy = Map::new();
        // What the crate writes no more, from a vector.
        let vectors: serde_json::Value = serde_json::from_str(include_str!("vectors-node.json")).unwrap();
        let vector = &vectors["legacy"][(n % 12) as usize];
        legacy.extend(vector["stored"].as_object().unwrap().clone());
        legacy.insert("note".into(), text.into());
        let known = KeyRing::new(Key::from_bytes([2; 32]), vec![Key::from_base64(vector["key"].as_str().unwrap()).unwrap()]).unwrap();
        prop_assert!(keys.open(&context(n), &legacy).is_err());
        let keys = OrganizationKeys::new(&known, &all);
        let moved = keys.reseal(&context(n), &legacy, &mut random(1)).unwrap().unwrap();
        prop_assert_eq!(sealed::form(&moved), Form::V3(all[0].kid()));
        let opened = OrganizationKeys::new(&self::ring(9, &[]), &all).open(&context(n), &moved).unwrap();
        for (name, value) in vector["plain"].as_object().unwrap() {
            prop_assert_eq!(&opened.as_map()[name], value);
        }
    }

    #[test]
    fn it_opens_in_its_own_place_only(config in config(), n: u128, other: u128) {
        prop_assume!(n != other && !secrets(&config).is_empty());
        let (ring, all) = (ring(1, &[]), data_keys(&[11]));
        let stored = seal(&ring, &all, &context(n), &config);
        for context in [
            context(other),
            RowContext { organization_id: context(other).organization_id, ..context(n) },
            RowContext { integration_id: context(other).integration_id, ..context(n) },
        ] {
            prop_assert_eq!(fault(&ring, &all, &context, &stored), Fault::NotAuthentic);
        }
    }

    #[test]
    fn the_form_cannot_be_renamed(config in config(), n: u128) {
        prop_assume!(!secrets(&config).is_empty());
        // The same bytes are a key of the ring and a data key.
        let (ring, all) = (ring(11, &[]), data_keys(&[11]));
        for (data_keys, other) in [(&all[..], 2), (&[], 3)] {
            let mut stored = seal(&ring, data_keys, &context(n), &config);
            stored[ENC]["v"] = json!(other);
            prop_assert_eq!(fault(&ring, &all, &context(n), &stored), Fault::NotAuthentic);
            stored.remove(ENC);
            prop_assert!(OrganizationKeys::new(&ring, &all).open(&context(n), &stored).is_err());
        }
    }

    #[test]
    fn a_data_key_unwraps_for_its_organization_only(bytes: [u8; 32], n: u128, other: u128) {
        prop_assume!(n != other);
        let (old, both, new) = (ring(1, &[]), ring(2, &[1]), ring(2, &[]));
        let data_key = DataKey::from_bytes(bytes);
        let id = Uuid::from_u128(n);
        let wrapped = old.wrap(id, &data_key, &mut random(0)).unwrap();
        prop_assert_eq!(*both.unwrap(id, &wrapped).unwrap().expose(), bytes);
        prop_assert_eq!(old.unwrap(Uuid::from_u128(other), &wrapped).unwrap_err().class(), Fault::NotAuthentic);
        prop_assert_eq!(new.unwrap(id, &wrapped).unwrap_err().class(), Fault::UnknownKey);
        let moved = both.rewrap(id, &wrapped, &mut random(1)).unwrap().unwrap();
        prop_assert_eq!(*new.unwrap(id, &moved).unwrap().expose(), bytes);
    }

    #[test]
    fn no_text_unwraps_or_makes_it_panic(text in ".{0,80}", kid: u64, n: u128) {
        let ring = ring(1, &[2]);
        let wrapped = WrappedKey {
            kid: format!("{kid:016x}").parse().unwrap(),
            wrapping_kid: ring.primary_kid(),
            wrapped: text,
        };
        prop_assert!(ring.unwrap(Uuid::from_u128(n), &wrapped).is_err());
    }
}

/// Every other character at every place of a value and of a wrapped data key, and so every bit of them.
#[test]
fn every_other_character_is_refused() {
    let (ring, all) = (ring(1, &[2]), data_keys(&[11, 12]));
    let config = json!({"access_token": "sbp_oauth_0123456789"});
    let mut stored = seal(&ring, &all, &context(1), config.as_object().unwrap());
    let organization_id = context(1).organization_id;
    let wrapped = ring.wrap(organization_id, &all[0], &mut random(0)).unwrap();
    let mut refused = 0;
    for changed in others(stored["access_token"].as_str().unwrap()) {
        stored["access_token"] = changed.into();
        assert!(
            OrganizationKeys::new(&ring, &all)
                .open(&context(1), &stored)
                .is_err()
        );
        refused += 1;
    }
    for changed in others(&wrapped.wrapped) {
        let changed = WrappedKey {
            wrapped: changed,
            ..wrapped
        };
        assert!(ring.unwrap(organization_id, &changed).is_err());
        refused += 1;
    }
    assert!(refused > 15_000, "{refused}");
}

fn others(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for at in 0..text.len() {
        for with in (0..128_u8).filter(|with| *with != text.as_bytes()[at]) {
            let mut changed = text.to_owned().into_bytes();
            changed[at] = with;
            all.push(String::from_utf8(changed).unwrap());
        }
    }
    all
}
