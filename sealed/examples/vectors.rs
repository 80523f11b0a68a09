//! Writes `sealed/tests/vectors.json`: what this crate seals and what it refuses, for other implementations to check
//! themselves against. The keys and nonces are fixed, so the file is the same every time.
//!
//! ```text
//! cargo run -p sealed --example vectors > sealed/tests/vectors.json
//! ```

use std::error::Error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealed::{Fault, Key, KeyRing, Place, PlainConfig, RandomError, SealError};
use serde_json::{Map, Value, json};

const ORGANIZATION: &str = "3f2c9a64-0b1d-4e8f-a7c5-6d9e2b10f483";
const INTEGRATION: &str = "b81e5d07-92a3-4c6f-8e14-70fd3a5c29b6";
const OTHER: &str = "00000000-0000-4000-8000-000000000001";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let vectors = json!({
        "about": "Written by `cargo run -p sealed --example vectors`. docs/format.md explains the members.",
        "sealed": sealed()?,
        "old": [],
        "refused": refused()?,
        "unsealable": unsealable()?,
        "names": names(),
    });
    println!("{}", serde_json::to_string_pretty(&vectors)?);
    Ok(())
}

/// The key whose bytes count up from `first`.
fn key(first: u8) -> Key {
    Key::from_bytes(std::array::from_fn(|i| first.wrapping_add(i as u8)))
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

fn place(organization_id: &str, integration_id: &str) -> Result<Place> {
    Ok(Place {
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

fn sealed() -> Result<Vec<Value>> {
    let every_name = json!({
        "access_token": "a", "apiKey": "b", "client_secret": "c", "db_password": "d", "key": "e", "refresh_token": "f"
    });
    let cases = [
        (
            "the worked example of docs/format.md",
            0,
            &["/access_token"][..],
            json!({
                "access_token": "sbp_example", "project_id": "abc123"
            }),
        ),
        (
            "as the worker stores it",
            0,
            &["/access_token", "/refresh_token"],
            json!({
                "access_token": "sbp_oauth_0123456789abcdef0123456789abcdef01234567",
                "expires_at": "2025-12-08T10:30:00Z",
                "project_id": "abcdefghijklmnopqrst",
                "project_name": "My Project",
                "refresh_token": "v1.MjAyNS0xMi0wOFQxMDozMDowMFo",
            }),
        ),
        (
            "every kind of name",
            200,
            &[
                "/access_token",
                "/apiKey",
                "/client_secret",
                "/db_password",
                "/key",
                "/refresh_token",
            ],
            every_name,
        ),
        (
            "nested, and names that a JSON Pointer escapes",
            7,
            &[
                "/a/0/token",
                "/a/1/b/secret",
                "/a~1b~0c/~1~0_key",
                "/ä/🔑 key",
            ],
            json!({
                "a": [{"token": "first"}, {"b": {"secret": "second"}}, ["no object", 1, true, null]],
                "a/b~c": {"/~_key": "third"},
                "ä": {"🔑 key": "fourth"},
            }),
        ),
        (
            "an empty string is sealed",
            1,
            &["/token"],
            json!({"token": ""}),
        ),
        (
            "null stays null",
            1,
            &["/access_token"],
            json!({"access_token": "x", "refresh_token": null}),
        ),
        (
            "one, two and three bytes",
            1,
            &["/a_key", "/b_key", "/c_key"],
            json!({"a_key": "1", "b_key": "12", "c_key": "123"}),
        ),
        (
            "text beyond ASCII, and a NUL",
            255,
            &["/password"],
            json!({"password": "pässwörd 密码 🔐 \u{0}\u{7f}\n"}),
        ),
        (
            "what looks sealed is sealed like any other text",
            1,
            &["/token"],
            json!({
                "note": "AQIDBAUGBwgJCgsM.AQIDBAUGBwgJCgsMDQ4PEA==.AA==",
                "token": "AQIDBAUGBwgJCgsM.AQIDBAUGBwgJCgsMDQ4PEA==.AA=="
            }),
        ),
        (
            "longer than one block, by none and by one",
            1,
            &["/a_key", "/b_key"],
            json!({"a_key": "x".repeat(64), "b_key": "y".repeat(65)}),
        ),
        (
            "_enc deeper down is a name like any other",
            1,
            &["/deep/token"],
            json!({"deep": {"_enc": {"v": 9}, "token": "x"}}),
        ),
        (
            "nothing sensitive: nothing sealed, no _enc",
            1,
            &[],
            json!({"project_id": "abc123", "token": null}),
        ),
        ("empty", 1, &[], json!({})),
    ];
    let mut next = 0;
    let mut vectors = Vec::new();
    for (name, first, pointers, plain) in cases {
        let ring = ring(first)?;
        let plain = PlainConfig::from_map(object(plain));
        let mut nonces = Vec::new();
        let mut counting = counting(&mut next);
        let stored = ring.seal(&place(ORGANIZATION, INTEGRATION)?, &plain, &mut |bytes| {
            counting(bytes)?;
            nonces.extend_from_slice(bytes);
            Ok(())
        })?;
        let nonces = nonces.chunks(12).map(|nonce| STANDARD.encode(nonce));
        assert_eq!(nonces.len(), pointers.len(), "{name}");
        vectors.push(json!({
            "name": name,
            "key": key(first).to_base64().expose(),
            "kid": ring.primary_kid().to_string(),
            "organization_id": ORGANIZATION,
            "integration_id": INTEGRATION,
            "plain": plain.as_map(),
            "nonces": pointers.iter().zip(nonces).collect::<Vec<_>>(),
            "stored": stored,
        }));
    }
    Ok(vectors)
}

/// Configs that do not open, each with the class and the place of its fault.
fn refused() -> Result<Vec<Value>> {
    let here = place(ORGANIZATION, INTEGRATION)?;
    let plain = PlainConfig::from_map(object(
        json!({"access_token": "sbp_example", "deep": [{"api_key": "k"}]}),
    ));
    let mut next = 100;
    let base = ring(0)?.seal(&here, &plain, &mut counting(&mut next))?;
    let token = base["access_token"].as_str().unwrap_or_default();
    let parts: Vec<_> = token.split('.').collect();
    let (iv, tag, text) = (parts[0], parts[1], parts[2]);
    let kid = ring(0)?.primary_kid().to_string();
    let other_kid = ring(1)?.primary_kid().to_string();
    let deep = || json!([{"api_key": base["deep"][0]["api_key"]}]);
    let with = |changes: Value| {
        let mut config = base.clone();
        config.extend(object(changes));
        config
    };
    let without = |name: &str| {
        let mut config = base.clone();
        config.remove(name);
        config
    };
    let token_of = |text: String| with(json!({"access_token": text}));
    let enc_of = |enc: Value| with(json!({"_enc": enc}));
    let mut moved = without("access_token");
    moved.insert("refresh_token".into(), token.into());
    let mut levels = json!({"token": token});
    for _ in 1..sealed::MAX_DEPTH {
        levels = json!([levels]);
    }
    let deepest = "/levels".to_owned() + &"/0".repeat(sealed::MAX_DEPTH - 1);

    let cases = [
        (
            "a bit of the iv",
            token_of(format!("{}.{tag}.{text}", flip(iv)?)),
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "a bit of the tag",
            token_of(format!("{iv}.{}.{text}", flip(tag)?)),
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "a bit of the text",
            token_of(format!("{iv}.{tag}.{}", flip(text)?)),
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "no text",
            token_of(format!("{iv}.{tag}.")),
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "moved to another field",
            moved,
            Fault::NotAuthentic,
            "/refresh_token",
        ),
        (
            "moved to another element",
            with(json!({"deep": [{}, deep()[0]]})),
            Fault::NotAuthentic,
            "/deep/1/api_key",
        ),
        (
            "moved up",
            with(json!({"api_key": deep()[0]["api_key"]})),
            Fault::NotAuthentic,
            "/api_key",
        ),
        (
            "_enc removed",
            without("_enc"),
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "another key's kid",
            enc_of(json!({"v": 2, "kid": other_kid})),
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "unknown kid",
            enc_of(json!({"v": 2, "kid": "0123456789abcdef"})),
            Fault::UnknownKey,
            "/_enc",
        ),
        (
            "version 3",
            enc_of(json!({"v": 3, "kid": kid})),
            Fault::UnknownVersion,
            "/_enc",
        ),
        (
            "version 1",
            enc_of(json!({"v": 1, "kid": kid})),
            Fault::UnknownVersion,
            "/_enc",
        ),
        (
            "version as text",
            enc_of(json!({"v": "2", "kid": kid})),
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "no version",
            enc_of(json!({"kid": kid})),
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "no kid",
            enc_of(json!({"v": 2})),
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "kid in upper case",
            enc_of(json!({"v": 2, "kid": kid.to_uppercase()})),
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "kid cut",
            enc_of(json!({"v": 2, "kid": &kid[..15]})),
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "a member too many",
            enc_of(json!({"v": 2, "kid": kid, "alg": "A256GCM"})),
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "_enc is null",
            enc_of(json!(null)),
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "_enc is text",
            enc_of(json!(kid)),
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "in the clear",
            token_of("sbp_example".into()),
            Fault::NotSealed,
            "/access_token",
        ),
        (
            "empty",
            token_of(String::new()),
            Fault::NotSealed,
            "/access_token",
        ),
        (
            "a JWT in the clear",
            token_of("eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln".into()),
            Fault::NotSealed,
            "/access_token",
        ),
        (
            "two parts",
            token_of(format!("{iv}.{tag}")),
            Fault::NotSealed,
            "/access_token",
        ),
        (
            "four parts",
            token_of(format!("{token}.{text}")),
            Fault::NotSealed,
            "/access_token",
        ),
        (
            "a short tag",
            token_of(format!("{iv}.{}.{text}", &tag[..16])),
            Fault::NotSealed,
            "/access_token",
        ),
        (
            "a short iv",
            token_of(format!("{}.{tag}.{text}", &iv[..12])),
            Fault::NotSealed,
            "/access_token",
        ),
        (
            "an iv of 16 bytes",
            token_of(format!("{tag}.{tag}.{text}")),
            Fault::Malformed,
            "/access_token",
        ),
        (
            "tag without padding",
            token_of(format!("{iv}.{}.{text}", &tag[..22])),
            Fault::Malformed,
            "/access_token",
        ),
        (
            "text without padding",
            token_of(format!("{iv}.{tag}.AA")),
            Fault::Malformed,
            "/access_token",
        ),
        (
            "bits after the end",
            token_of(format!("{iv}.{tag}.AB==")),
            Fault::Malformed,
            "/access_token",
        ),
        (
            "base64url",
            token_of(format!("{iv}.{tag}.__v_")),
            Fault::Malformed,
            "/access_token",
        ),
        (
            "white space",
            token_of(format!("{token}\n")),
            Fault::Malformed,
            "/access_token",
        ),
        (
            "a number",
            with(json!({"access_token": 5})),
            Fault::WrongType,
            "/access_token",
        ),
        (
            "a boolean",
            with(json!({"access_token": false})),
            Fault::WrongType,
            "/access_token",
        ),
        (
            "an object",
            with(json!({"access_token": {"value": token}})),
            Fault::WrongType,
            "/access_token",
        ),
        (
            "an array",
            with(json!({"access_token": [token]})),
            Fault::WrongType,
            "/access_token",
        ),
        (
            "too many levels",
            with(json!({"levels": levels})),
            Fault::TooDeep,
            &deepest[..],
        ),
    ];
    let mut vectors = Vec::new();
    for (name, config, fault, pointer) in cases {
        vectors.push(json!({
            "name": name, "stored": config, "fault": fault.as_str(), "pointer": pointer,
            "organization_id": ORGANIZATION, "integration_id": INTEGRATION,
        }));
    }
    for (name, organization_id, integration_id) in [
        ("another organisation", OTHER, INTEGRATION),
        ("another row", ORGANIZATION, OTHER),
        ("swapped ids", INTEGRATION, ORGANIZATION),
    ] {
        vectors.push(json!({
            "name": name, "stored": base, "fault": Fault::NotAuthentic.as_str(), "pointer": "/access_token",
            "organization_id": organization_id, "integration_id": integration_id,
        }));
    }
    for vector in &mut vectors {
        vector["keys"] = json!([key(0).to_base64().expose(), key(1).to_base64().expose()]);
    }
    Ok(vectors)
}

/// The same bytes in base64, but for one bit.
fn flip(base64: &str) -> Result<String> {
    let mut bytes = STANDARD.decode(base64)?;
    bytes[3] ^= 0x10;
    Ok(STANDARD.encode(bytes))
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
    ];
    let mut vectors = Vec::new();
    for (name, plain) in cases {
        let config = PlainConfig::from_map(object(plain.clone()));
        let result = ring(0)?.seal(
            &place(ORGANIZATION, INTEGRATION)?,
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
