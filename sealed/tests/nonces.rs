//! No nonce twice, and none without randomness.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(
    clippy::disallowed_methods,
    reason = "this is about the use of the real source of randomness"
)]

use std::collections::HashSet;

use sealed::{Key, KeyRing, PlainConfig, RandomError, ResealError, RowContext, SealError};
use serde_json::{Value, json};
use uuid::Uuid;

const HERE: RowContext = RowContext {
    organization_id: Uuid::from_u128(1),
    integration_id: Uuid::from_u128(2),
};

fn ring(primary: u8, fallbacks: &[u8]) -> KeyRing {
    let key = |n: &u8| Key::from_bytes([*n; 32]);
    KeyRing::new(key(&primary), fallbacks.iter().map(key).collect()).unwrap()
}

fn plain(config: Value) -> PlainConfig {
    PlainConfig::from_map(config.as_object().unwrap().clone())
}

type Source = fn(&mut [u8]) -> Result<(), RandomError>;

fn system(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(|_| RandomError)
}

/// Threat model 22: a million values, sealed in configs of 1,000 and moved to another key, which draws anew.
#[test]
fn a_million_seals_without_a_nonce_twice() {
    let secrets = (0..1000)
        .map(|i| (format!("{i}_key"), Value::from("x")))
        .collect();
    let config = plain(Value::Object(secrets));
    let (old, both) = (ring(1, &[]), ring(2, &[1]));
    let mut seen = HashSet::with_capacity(1_000_000);
    for _ in 0..500 {
        let stored = old.seal(&HERE, &config, &mut system).unwrap();
        let moved = both.reseal(&HERE, &stored, &mut system).unwrap().unwrap();
        for (name, text) in stored
            .iter()
            .chain(&moved)
            .filter(|(name, _)| name.ends_with("_key"))
        {
            let (iv, _) = text.as_str().unwrap().split_once('.').unwrap();
            assert!(
                seen.insert(<[u8; 16]>::try_from(iv.as_bytes()).unwrap()),
                "{name}: {iv} twice"
            );
        }
    }
    assert_eq!(seen.len(), 1_000_000);
}

#[test]
fn without_randomness_nothing_is_sealed() {
    let config = plain(json!({"access_token": "x", "refresh_token": "y"}));
    let sources: [Source; 4] = [
        |_| Err(RandomError),
        // Half of it, then a failure.
        |bytes| {
            bytes[..12].fill(5);
            Err(RandomError)
        },
        // It says that it worked.
        |_| Ok(()),
        |bytes| {
            bytes.fill(5);
            Ok(())
        },
    ];
    for mut source in sources {
        let sealed = ring(1, &[]).seal(&HERE, &config, &mut source);
        assert_eq!(sealed, Err(SealError::Random(RandomError)));
        let stored = ring(1, &[]).seal(&HERE, &config, &mut system).unwrap();
        let moved = ring(2, &[1]).reseal(&HERE, &stored, &mut source);
        assert_eq!(moved, Err(ResealError::Random(RandomError)));
    }
}

#[test]
fn randomness_is_drawn_once_a_config_and_only_where_something_is_sealed() {
    let mut draws = Vec::new();
    let mut counted = |bytes: &mut [u8]| {
        draws.push(bytes.len());
        system(bytes)
    };
    let stored = ring(1, &[])
        .seal(
            &HERE,
            &plain(json!({"a_key": "x", "b": [{"key": "y"}]})),
            &mut counted,
        )
        .unwrap();
    ring(1, &[])
        .seal(&HERE, &plain(json!({"a_key": null, "b": 1})), &mut counted)
        .unwrap();
    assert_eq!(ring(1, &[]).reseal(&HERE, &stored, &mut counted), Ok(None));
    assert_eq!(draws, [24]);
}
