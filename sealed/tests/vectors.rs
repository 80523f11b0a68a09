//! The vectors of docs/format.md, natively and in wasm: what this crate wrote and what node:crypto wrote.

#![allow(
    clippy::unwrap_used,
    reason = "a vector that cannot be read is a failed test"
)]

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealed::{
    Key, KeyRing, Place, PlainConfig, RandomError, SealError, StoredConfig, is_sensitive,
};
use serde_json::Value;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const FILES: [&str; 2] = [
    include_str!("vectors.json"),
    include_str!("vectors-node.json"),
];

/// Runs `check` on each vector of one kind in both files.
fn each(kind: &str, at_least: usize, check: impl Fn(&str, &Value)) {
    let files = FILES.map(|file| serde_json::from_str::<Value>(file).unwrap());
    let vectors = files.iter().flat_map(|file| file[kind].as_array().unwrap());
    let count = vectors
        .map(|vector| check(text(&vector["name"]), vector))
        .count();
    assert!(count >= at_least, "{count} vectors of kind {kind}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn key(value: &Value) -> Key {
    Key::from_base64(text(value)).unwrap()
}

fn place(vector: &Value) -> Place {
    Place {
        organization_id: text(&vector["organization_id"]).parse().unwrap(),
        integration_id: text(&vector["integration_id"]).parse().unwrap(),
    }
}

fn map(value: &Value) -> StoredConfig {
    value.as_object().unwrap().clone()
}

fn ring(vector: &Value) -> KeyRing {
    KeyRing::new(key(&vector["key"]), vec![]).unwrap()
}

/// A ring whose primary key sealed none of the vectors.
fn strange_ring(vector: &Value) -> KeyRing {
    KeyRing::new(
        Key::from_bytes([7; 32]),
        vec![Key::from_bytes([8; 32]), key(&vector["key"])],
    )
    .unwrap()
}

/// Different at every call, and never what a vector used.
fn unrelated() -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
    let mut next = 0_u64;
    move |bytes| {
        for nonce in bytes.chunks_mut(12) {
            next += 1;
            nonce[..4].fill(0xAA);
            nonce[4..].copy_from_slice(&next.to_be_bytes());
        }
        Ok(())
    }
}

#[test]
fn sealed_configs_open() {
    each("sealed", 20, |name, vector| {
        let stored = map(&vector["stored"]);
        for ring in [ring(vector), strange_ring(vector)] {
            let opened = ring.open(&place(vector), &stored).unwrap();
            assert_eq!(opened.as_map(), &map(&vector["plain"]), "{name}");
        }
    });
}

#[test]
fn sealing_with_the_same_nonces_gives_the_same_bytes() {
    each("sealed", 20, |name, vector| {
        let nonces = vector["nonces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| text(&pair[1]));
        let nonces: Vec<u8> = nonces
            .flat_map(|nonce| STANDARD.decode(nonce).unwrap())
            .collect();
        let ring = ring(vector);
        assert_eq!(
            ring.primary_kid().to_string(),
            text(&vector["kid"]),
            "{name}"
        );
        let plain = PlainConfig::from_map(map(&vector["plain"]));
        let stored = ring.seal(&place(vector), &plain, &mut |bytes| {
            bytes.copy_from_slice(&nonces);
            Ok(())
        });
        assert_eq!(stored.unwrap(), map(&vector["stored"]), "{name}");
    });
}

#[test]
fn old_configs_open_and_move() {
    each("old", 20, |name, vector| {
        let (stored, plain) = (map(&vector["stored"]), map(&vector["plain"]));
        let here = Place {
            organization_id: uuid::Uuid::from_u128(1),
            integration_id: uuid::Uuid::from_u128(2),
        };
        for ring in [ring(vector), strange_ring(vector)] {
            assert_eq!(
                ring.open(&here, &stored).unwrap().as_map(),
                &plain,
                "{name}"
            );
            match ring.reseal(&here, &stored, &mut unrelated()).unwrap() {
                Some(moved) => {
                    assert_eq!(
                        sealed::form(&moved),
                        sealed::Form::Current(ring.primary_kid()),
                        "{name}"
                    );
                    assert_eq!(ring.open(&here, &moved).unwrap().as_map(), &plain, "{name}");
                }
                None => assert_eq!(sealed::form(&stored), sealed::Form::Empty, "{name}"),
            }
        }
    });
}

#[test]
fn sealed_configs_move_to_another_key() {
    each("sealed", 20, |name, vector| {
        let (stored, ring) = (map(&vector["stored"]), strange_ring(vector));
        let Some(moved) = ring
            .reseal(&place(vector), &stored, &mut unrelated())
            .unwrap()
        else {
            return assert_eq!(sealed::form(&stored), sealed::Form::Empty, "{name}");
        };
        let alone = KeyRing::new(Key::from_bytes([7; 32]), vec![]).unwrap();
        assert_eq!(
            alone.open(&place(vector), &moved).unwrap().as_map(),
            &map(&vector["plain"]),
            "{name}"
        );
    });
}

#[test]
fn faults_are_told_apart_in_the_log_only() {
    each("refused", 50, |name, vector| {
        let mut keys = vector["keys"].as_array().unwrap().iter().map(key);
        let ring = KeyRing::new(keys.next().unwrap(), keys.collect()).unwrap();
        let error = ring
            .open(&place(vector), &map(&vector["stored"]))
            .unwrap_err();
        assert_eq!(error.class().as_str(), text(&vector["fault"]), "{name}");
        assert_eq!(error.pointer(), text(&vector["pointer"]), "{name}");
        assert_eq!(
            error.to_string(),
            "the stored credentials do not open",
            "{name}"
        );
    });
}

#[test]
fn what_cannot_be_sealed_is_refused() {
    each("unsealable", 5, |name, vector| {
        let ring = KeyRing::new(Key::from_bytes([7; 32]), vec![]).unwrap();
        let here = Place {
            organization_id: uuid::Uuid::from_u128(1),
            integration_id: uuid::Uuid::from_u128(2),
        };
        let plain = PlainConfig::from_map(map(&vector["plain"]));
        let Err(SealError::Refused(refused)) = ring.seal(&here, &plain, &mut unrelated()) else {
            panic!("{name} was sealed");
        };
        assert_eq!(refused.class().as_str(), text(&vector["fault"]), "{name}");
        assert_eq!(refused.pointer(), text(&vector["pointer"]), "{name}");
    });
}

#[test]
fn every_class_of_fault_has_a_vector() {
    let mut seen = HashSet::new();
    for file in FILES.map(|file| serde_json::from_str::<Value>(file).unwrap()) {
        for kind in ["refused", "unsealable"] {
            seen.extend(
                file[kind]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|vector| text(&vector["fault"]).to_owned()),
            );
        }
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
}

#[test]
fn names_are_sensitive_or_not() {
    let file: Value = serde_json::from_str(FILES[0]).unwrap();
    for (list, expected) in [("sensitive", true), ("not_sensitive", false)] {
        let names = file["names"][list].as_array().unwrap();
        assert!(names.len() > 10);
        for name in names {
            assert_eq!(is_sensitive(text(name)), expected, "{name}");
        }
    }
}
