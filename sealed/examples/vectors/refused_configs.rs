//! Configs that do not open.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealed::{Fault, PlainConfig};
use serde_json::{Value, json};

use crate::{
    INTEGRATION, ORGANIZATION, OTHER, Result, context, counting, key, object, refused_data_keys,
    ring,
};

/// Each with the class and the place of its fault.
pub fn refused() -> Result<Vec<Value>> {
    let here = context(ORGANIZATION, INTEGRATION)?;
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
            "version 4",
            enc_of(json!({"v": 4, "kid": kid})),
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
            "version 2.0, and an unknown kid",
            enc_of(json!({"v": 2.0, "kid": "0123456789abcdef"})),
            Fault::UnknownKey,
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
    for (name, stored) in [
        ("null, and no object", json!(null)),
        ("an array, and no object", json!([base])),
        (
            "the config as text, and no object",
            json!(json!(base).to_string()),
        ),
    ] {
        vectors.push(json!({
            "name": name, "stored": stored, "fault": "no-object", "pointer": "",
            "organization_id": ORGANIZATION, "integration_id": INTEGRATION,
        }));
    }
    for (name, config, fault, pointer) in cases {
        vectors.push(json!({
            "name": name, "stored": config, "fault": fault.as_str(), "pointer": pointer,
            "organization_id": ORGANIZATION, "integration_id": INTEGRATION,
        }));
    }
    for (name, organization_id, integration_id) in [
        ("another organization", OTHER, INTEGRATION),
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
    vectors.extend(refused_data_keys::refused()?);
    Ok(vectors)
}

/// The same bytes in base64, but for one bit.
fn flip(base64: &str) -> Result<String> {
    let mut bytes = STANDARD.decode(base64)?;
    bytes[3] ^= 0x10;
    Ok(STANDARD.encode(bytes))
}
