//! Writes `sealed/tests/vectors.json`: what this crate seals and what it refuses, for other implementations to check
//! themselves against. The keys and nonces are fixed, so the file is the same every time.
//!
//! ```text
//! cargo run -p sealed --example vectors > sealed/tests/vectors.json
//! ```

mod refused_configs;
mod refused_data_keys;
mod sealed_configs;
mod wrapped_keys;

use std::error::Error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealed::{DataKey, Key, KeyRing, PlainConfig, RandomError, RowContext, SealError};
use serde_json::{Map, Value, json};

const ORGANIZATION: &str = "3f2c9a64-0b1d-4e8f-a7c5-6d9e2b10f483";
/// Another organization, or another row.
const OTHER: &str = "00000000-0000-4000-8000-000000000001";
const INTEGRATION: &str = "b81e5d07-92a3-4c6f-8e14-70fd3a5c29b6";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let vectors = json!({
        "about": "Written by `cargo run -p sealed --example vectors`. docs/format.md explains the members.",
        "sealed": sealed_configs::sealed()?,
        "legacy": [],
        "refused": refused_configs::refused()?,
        "unsealable": unsealable()?,
        "wrapped": wrapped_keys::wrapped()?,
        "refused_wrapped": wrapped_keys::refused()?,
        "names": names(),
    });
    println!("{}", serde_json::to_string_pretty(&vectors)?);
    Ok(())
}

/// The key whose bytes count up from `first`.
fn key(first: u8) -> Key {
    Key::from_bytes(counting_up(first))
}

/// The same bytes as a data key.
fn data_key(first: u8) -> DataKey {
    DataKey::from_bytes(counting_up(first))
}

fn counting_up(first: u8) -> [u8; 32] {
    std::array::from_fn(|i| first.wrapping_add(i as u8))
}

fn base64(data_key: &DataKey) -> String {
    STANDARD.encode(data_key.expose())
}

fn ring(first: u8) -> Result<KeyRing> {
    Ok(KeyRing::new(key(first), Vec::new())?)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn context(organization_id: &str, integration_id: &str) -> Result<RowContext> {
    Ok(RowContext {
        organization_id: organization_id.parse()?,
        integration_id: integration_id.parse()?,
    })
}

/// Counts on: different bytes for every nonce of this file.
fn counting(next: &mut u8) -> impl FnMut(&mut [u8]) -> std::result::Result<(), RandomError> + '_ {
    |bytes| {
        for byte in bytes {
            *next = next.wrapping_add(37);
            *byte = *next;
        }
        Ok(())
    }
}

/// Configs that nobody may seal.
fn unsealable() -> Result<Vec<Value>> {
    let mut levels = json!(1);
    for _ in 0..sealed::MAX_DEPTH {
        levels = json!([levels]);
    }
    let cases = [
        (
            "_enc is the format's own",
            json!({"_enc": {"v": 2, "kid": "0123456789abcdef"}, "token": "x"}),
        ),
        ("_enc, even null", json!({"_enc": null})),
        ("a number", json!({"token": 5})),
        ("a boolean", json!({"deep": [{"apiKey": true}]})),
        ("an object", json!({"secret": {"value": "x"}})),
        ("an array of strings", json!({"api_key": ["x", "y"]})),
        ("an empty array", json!({"api_key": []})),
        ("too many levels", json!({"levels": levels})),
        (
            "a secret that is too long, after one that is not",
            json!({"list": [{"token": "x"}, {"token": "x".repeat(sealed::MAX_VALUE + 1)}]}),
        ),
        (
            "a type comes before a secret that is too long",
            json!({"a_token": "x".repeat(sealed::MAX_VALUE + 1), "b_token": 5}),
        ),
    ];
    let mut vectors = Vec::new();
    for (name, plain) in cases {
        let config = PlainConfig::from_map(object(plain.clone()));
        let result = ring(0)?.seal(
            &context(ORGANIZATION, INTEGRATION)?,
            &config,
            &mut counting(&mut 0),
        );
        let Err(SealError::Refused(refused)) = result else {
            return Err(format!("sealed: {name}").into());
        };
        vectors.push(json!({
            "name": name, "plain": plain, "fault": refused.class().as_str(), "pointer": refused.pointer(),
        }));
    }
    Ok(vectors)
}

fn names() -> Value {
    json!({
        "sensitive": [
            "access_token", "refresh_token", "api_key", "client_secret", "db_password", "token", "key", "secret",
            "password", "accessToken", "apiKey", "APIKey", "oauth2Token", "oauth2TOKEN", "Token", "KEY", "ACCESS_TOKEN",
            "_key", "x-api-key", "client secret", "a.token", "schlüßKEY", "ü_key", "ükey", "🔑key",
        ],
        "not_sensitive": [
            "", "monkey", "MONKEY", "Monkey", "keys", "tokens", "token_type", "key_id", "secretary", "accesstoken",
            "1key", "passwords", "_enc", "kid", "to_ken", "sécret", "project_id", "expires_at",
        ],
    })
}
