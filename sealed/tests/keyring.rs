//! The key ring: which key seals, which opens, and what moving a config keeps.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use sealed::{
    Fault, Form, Key, KeyError, KeyRing, OpenError, PlainConfig, RandomError, ResealError,
    RowContext, StoredConfig,
};
use serde_json::{Value, json};
use uuid::Uuid;

const HERE: RowContext = RowContext {
    organization_id: Uuid::from_u128(1),
    integration_id: Uuid::from_u128(2),
};

fn key(n: u8) -> Key {
    Key::from_bytes([n; 32])
}

fn ring(primary: u8, fallbacks: &[u8]) -> KeyRing {
    KeyRing::new(key(primary), fallbacks.iter().map(|n| key(*n)).collect()).unwrap()
}

fn random(bytes: &mut [u8]) -> Result<(), RandomError> {
    bytes
        .iter_mut()
        .enumerate()
        .for_each(|(i, byte)| *byte = i as u8 + 1);
    Ok(())
}

fn map(config: Value) -> StoredConfig {
    config.as_object().unwrap().clone()
}

fn seal(ring: &KeyRing, config: Value) -> StoredConfig {
    ring.seal(&HERE, &PlainConfig::from_map(map(config)), &mut random)
        .unwrap()
}

fn fault(result: Result<impl Sized, OpenError>) -> (Fault, String) {
    let Err(error) = result else {
        panic!("it opened")
    };
    (error.class(), error.pointer().to_owned())
}

#[test]
fn a_key_twice_is_a_mistake() {
    let twice = KeyRing::new(key(1), vec![key(2), key(1)]).unwrap_err();
    assert_eq!(twice, KeyError::Twice(key(1).kid()));
    assert_eq!(
        twice.to_string(),
        format!("key {} is given twice", key(1).kid())
    );
    assert_eq!(
        KeyRing::new(key(1), vec![key(2), key(2)]).unwrap_err(),
        KeyError::Twice(key(2).kid())
    );
}

#[test]
fn the_primary_comes_first() {
    let ring = ring(1, &[2, 3]);
    assert_eq!(ring.primary_kid(), key(1).kid());
    assert_eq!(
        ring.kids().collect::<Vec<_>>(),
        [1, 2, 3].map(|n| key(n).kid())
    );
    assert_eq!(ring.enc()["kid"], key(1).kid().to_string());
}

#[test]
fn every_key_of_the_ring_opens_and_no_other() {
    for n in 1..=3 {
        let stored = seal(&ring(n, &[]), json!({"token": "x"}));
        assert_eq!(
            ring(1, &[2, 3])
                .open(&HERE, &stored)
                .unwrap()
                .get_str("token"),
            Some("x")
        );
        assert_eq!(
            fault(ring(4, &[5]).open(&HERE, &stored)),
            (Fault::UnknownKey, "/_enc".into())
        );
    }
}

#[test]
fn a_sealed_text_that_is_sealed_again_opens_once() {
    let ring = ring(1, &[]);
    let once = seal(&ring, json!({"token": "x"}))["token"].clone();
    let twice = seal(&ring, json!({"token": once}));
    assert_eq!(ring.open(&HERE, &twice).unwrap().get("token"), Some(&once));
}

#[test]
fn one_bad_field_keeps_the_whole_config_shut_and_unmoved() {
    let mut stored = seal(&ring(1, &[]), json!({"a_key": "x", "b_key": "y", "n": 1}));
    stored["b_key"] = stored["a_key"].clone();
    let expected = (Fault::NotAuthentic, "/b_key".to_owned());
    assert_eq!(fault(ring(1, &[]).open(&HERE, &stored)), expected);
    let Err(ResealError::Open(error)) = ring(2, &[1]).reseal(&HERE, &stored, &mut random) else {
        panic!("it moved")
    };
    assert_eq!((error.class(), error.pointer().to_owned()), expected);
}

#[test]
fn a_secret_in_the_clear_is_never_passed_by() {
    let sealed = seal(&ring(1, &[]), json!({"a_key": "x"}));
    for mut config in [
        sealed.clone(),
        map(json!({"a_key": "", "note": "legacy form"})),
    ] {
        for (name, value) in [("b_key", json!("clear")), ("accessToken", json!("clear"))] {
            config.insert(name.into(), value);
            assert_eq!(
                fault(ring(1, &[]).open(&HERE, &config)),
                (Fault::NotSealed, format!("/{name}"))
            );
            assert!(ring(2, &[1]).reseal(&HERE, &config, &mut random).is_err());
            config.remove(name);
        }
        config.insert("deep".into(), json!([{"secrets": [{"key": "clear"}]}]));
        assert_eq!(
            fault(ring(1, &[]).open(&HERE, &config)),
            (Fault::NotSealed, "/deep/0/secrets/0/key".into())
        );
    }
}

#[test]
fn an_old_config_is_sealed_whole_or_not_at_all() {
    // The empty string is the one text that the legacy form holds in the clear.
    let old = map(json!({"a_token": "", "b_token": null, "n": [1, {"x": 2.5}]}));
    assert_eq!(sealed::form(&old), Form::Legacy);
    let moved = ring(1, &[])
        .reseal(&HERE, &old, &mut random)
        .unwrap()
        .unwrap();
    assert_eq!(sealed::form(&moved), Form::V2(key(1).kid()));
    assert_ne!(moved["a_token"], "");
    assert_eq!(
        (&moved["b_token"], &moved["n"]),
        (&old["b_token"], &old["n"])
    );
    assert_eq!(ring(1, &[]).open(&HERE, &moved).unwrap().as_map(), &old);
}

#[test]
fn a_config_whose_last_secret_was_set_to_null_still_moves() {
    let mut stored = seal(&ring(1, &[]), json!({"token": "x", "n": 1}));
    stored["token"] = Value::Null;
    assert_eq!(
        ring(1, &[]).open(&HERE, &stored).unwrap().as_map(),
        &map(json!({"token": null, "n": 1}))
    );
    let moved = ring(2, &[1])
        .reseal(&HERE, &stored, &mut random)
        .unwrap()
        .unwrap();
    assert_eq!(sealed::form(&moved), Form::V2(key(2).kid()));
    assert_eq!(
        fault(ring(2, &[]).open(&HERE, &stored)),
        (Fault::UnknownKey, "/_enc".into())
    );
}

#[test]
fn a_foreign_form_does_not_move() {
    for (enc, expected) in [
        (
            json!({"v": 4, "kid": key(1).kid().to_string()}),
            Fault::UnknownVersion,
        ),
        (
            json!({"v": 2, "kid": key(1).kid().to_string(), "x": 1}),
            Fault::MalformedEnc,
        ),
        (json!(null), Fault::MalformedEnc),
    ] {
        let config = map(json!({"_enc": enc, "n": 1}));
        assert_eq!(sealed::form(&config), Form::Unknown { fault: expected });
        let Err(ResealError::Open(error)) = ring(2, &[1]).reseal(&HERE, &config, &mut random)
        else {
            panic!("moved")
        };
        assert_eq!((error.class(), error.pointer()), (expected, "/_enc"));
    }
}

#[test]
fn nothing_that_is_printed_shows_a_secret() {
    let ring = ring(1, &[2]);
    let config = PlainConfig::from_map(map(json!({"token": "hunter2", "list_key": ["hunter2"]})));
    let stored = map(json!({"token": "hunter2", "_enc": ring.enc()}));
    let printed = format!(
        "{ring:?} {config:?} {:?} {:?} {:?} {:?}",
        ring.seal(&HERE, &config, &mut random),
        ring.open(&HERE, &stored),
        ring.reseal(&HERE, &map(json!({"token": "hunter2"})), &mut random),
        Key::from_base64("hunter2"),
    );
    for secret in ["hunter2", "[1, 1", "AQEB", "0101"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(
        printed.contains("not-sealed") || printed.contains("NotSealed"),
        "{printed}"
    );
}
