//! What is at a bound is sealed and opens; what is beyond it is refused, at sealing and at opening.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use sealed::{
    Fault, Form, Key, KeyRing, MAX_CONFIG_TEXT, MAX_DEPTH, MAX_VALUE, MAX_VALUES, PlainConfig,
    RandomError, RowContext, SealError, StoredConfig,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

const HERE: RowContext = RowContext {
    organization_id: Uuid::from_u128(1),
    integration_id: Uuid::from_u128(2),
};

fn ring() -> KeyRing {
    KeyRing::new(Key::from_bytes([1; 32]), vec![]).unwrap()
}

fn random(bytes: &mut [u8]) -> Result<(), RandomError> {
    for (i, nonce) in bytes.chunks_mut(12).enumerate() {
        nonce.fill(1);
        nonce[..8].copy_from_slice(&i.to_be_bytes());
    }
    Ok(())
}

fn object(config: Value) -> Map<String, Value> {
    config.as_object().unwrap().clone()
}

fn seal(config: Value) -> Result<StoredConfig, SealError> {
    ring().seal(&HERE, &PlainConfig::from_map(object(config)), &mut random)
}

#[track_caller]
fn opens(config: Value) {
    let stored = seal(config.clone()).unwrap();
    assert!(ring().open(&HERE, &stored).unwrap().as_map() == config.as_object().unwrap());
    assert_ne!(
        sealed::form(&stored),
        Form::Unknown {
            fault: Fault::TooLarge
        }
    );
}

#[track_caller]
fn cannot_be_sealed(config: Value, fault: Fault, pointer: &str) {
    match seal(config).unwrap_err() {
        SealError::Refused(refused) => {
            assert_eq!((refused.class(), refused.pointer()), (fault, pointer))
        }
        SealError::Random(error) => panic!("{error}"),
    }
}

#[track_caller]
fn does_not_open(config: Value, fault: Fault) {
    let config = object(config);
    assert_eq!(ring().open(&HERE, &config).unwrap_err().class(), fault);
    assert_eq!(
        ring()
            .reseal(&HERE, &config, &mut random)
            .unwrap_err()
            .to_string(),
        "the stored credentials do not open"
    );
}

/// A config of so many levels, with a secret at the bottom.
fn levels(count: usize) -> Value {
    (1..count).fold(json!({"token": "x"}), |inner, _| json!({"a": inner}))
}

#[test]
fn depth() {
    opens(levels(MAX_DEPTH));
    cannot_be_sealed(
        levels(MAX_DEPTH + 1),
        Fault::TooDeep,
        &"/a".repeat(MAX_DEPTH),
    );
    does_not_open(levels(MAX_DEPTH + 1), Fault::TooDeep);
    // Far beyond, it is still an error and no overflow of the stack.
    cannot_be_sealed(levels(2000), Fault::TooDeep, &"/a".repeat(MAX_DEPTH));
    assert_eq!(
        sealed::form(&object(levels(2000))),
        Form::Unknown {
            fault: Fault::TooDeep
        }
    );
}

#[test]
fn number_of_values() {
    let with = |count: usize| json!({"list": vec![1; count - 1]});
    opens(with(MAX_VALUES));
    cannot_be_sealed(with(MAX_VALUES + 1), Fault::TooLarge, "/list");
    does_not_open(with(MAX_VALUES + 1), Fault::TooLarge);
    let secrets = |count: usize| {
        (0..count)
            .map(|i| (format!("{i}_key"), "x".into()))
            .collect::<Map<_, _>>()
    };
    opens(Value::Object(secrets(MAX_VALUES)));
    cannot_be_sealed(Value::Object(secrets(MAX_VALUES + 1)), Fault::TooLarge, "");
}

#[test]
fn size_of_a_secret() {
    let with = |bytes: usize| json!({"token": "é".repeat(bytes / 2) + &"x".repeat(bytes % 2)});
    opens(with(MAX_VALUE));
    cannot_be_sealed(with(MAX_VALUE + 1), Fault::TooLarge, "/token");
    // Nobody sealed this text; its size alone is enough to refuse it.
    let mut stored = seal(with(1)).unwrap();
    for length in [MAX_VALUE + 2, 1024 * 1024] {
        let text = "x".repeat(length.div_ceil(3) * 4);
        stored["token"] = format!("AQIDBAUGBwgJCgsM.AQIDBAUGBwgJCgsMDQ4PEA==.{text}").into();
        does_not_open(json!({"token": stored["token"]}), Fault::TooLarge);
        assert_eq!(
            ring().open(&HERE, &stored).unwrap_err().class(),
            Fault::TooLarge
        );
    }
}

#[test]
fn size_of_a_config() {
    // 16 secrets of the greatest size would be just the bound, but for their names.
    let secrets =
        |count: usize| (0..count).map(|i| (format!("{i:02}_key"), "x".repeat(MAX_VALUE).into()));
    let full: Map<_, _> = secrets(15).collect();
    let with = |last: usize| {
        let mut config = full.clone();
        config.insert("last".into(), "y".repeat(last).into());
        Value::Object(config)
    };
    let room = MAX_CONFIG_TEXT - 15 * (MAX_VALUE + "00_key".len()) - "last".len();
    opens(with(room));
    cannot_be_sealed(with(room + 1), Fault::TooLarge, "/last");
    cannot_be_sealed(
        json!({"a": ["x".repeat(MAX_CONFIG_TEXT)]}),
        Fault::TooLarge,
        "/a/0",
    );
    cannot_be_sealed(
        json!({"x".repeat(MAX_CONFIG_TEXT + 1): 1}),
        Fault::TooLarge,
        "",
    );
    does_not_open(
        json!({"a": "x".repeat(2 * MAX_CONFIG_TEXT)}),
        Fault::TooLarge,
    );
}

/// The stored form of everything that may be sealed is within the bounds of what may be opened, also where
/// sealing makes it grow the most: many secrets, and the whole text in them.
#[test]
fn what_is_sealed_can_be_opened() {
    let each = (MAX_CONFIG_TEXT / MAX_VALUES) - "00000_key".len();
    let secrets = (0..MAX_VALUES).map(|i| (format!("{i:05}_key"), "x".repeat(each).into()));
    opens(Value::Object(secrets.collect()));
}
