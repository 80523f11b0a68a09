//! Random configs, and what property tests need beside them.

#![allow(dead_code, reason = "each test takes what it needs")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use sealed::RandomError;
use serde_json::{Map, Value};

/// A source that never gives the same nonce twice.
pub fn random(seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
    let mut next = seed;
    move |bytes| {
        for nonce in bytes.chunks_mut(12) {
            next = next.wrapping_add(1);
            nonce[..4].fill(1);
            nonce[4..].copy_from_slice(&next.to_be_bytes());
        }
        Ok(())
    }
}

fn secret_name() -> impl Strategy<Value = String> {
    select(vec![
        "access_token",
        "apiKey",
        "key",
        "x~/_secret",
        "пароль_password",
        "A Token",
    ])
    .prop_map(str::to_owned)
}

fn public_name() -> impl Strategy<Value = String> {
    "[a-z~/é ]{0,6}x"
}

pub fn public_leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

fn object(
    inner: impl Strategy<Value = Value> + Clone + 'static,
) -> impl Strategy<Value = Map<String, Value>> {
    let secrets = btree_map(
        secret_name(),
        prop_oneof![9 => any::<String>().prop_map(Value::from), 1 => Just(Value::Null)],
        0..3,
    );
    let others = btree_map(public_name(), inner, 0..4);
    (secrets, others).prop_map(|(secrets, others)| secrets.into_iter().chain(others).collect())
}

pub fn config() -> impl Strategy<Value = Map<String, Value>> {
    object(public_leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            object(inner.clone()).prop_map(Value::Object),
            vec(inner, 0..4).prop_map(Value::Array)
        ]
    }))
}

/// All sensitive strings, by JSON Pointer, found by other means than the crate's own walk.
pub fn secrets(config: &Map<String, Value>) -> Vec<(String, String)> {
    fn walk(value: &Value, pointer: &str, sensitive: bool, found: &mut Vec<(String, String)>) {
        match value {
            Value::String(text) if sensitive => found.push((pointer.to_owned(), text.clone())),
            Value::Object(map) => {
                for (name, value) in map {
                    let pointer =
                        format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    walk(value, &pointer, sealed::is_sensitive(name), found);
                }
            }
            Value::Array(list) => {
                for (i, value) in list.iter().enumerate() {
                    walk(value, &format!("{pointer}/{i}"), false, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(&Value::Object(config.clone()), "", false, &mut found);
    found
}
