//! Configs that are sealed, with the nonces that were drawn.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealed::{OrganizationKeys, PlainConfig};
use serde_json::{Value, json};

use crate::{
    INTEGRATION, ORGANIZATION, Result, base64, context, counting, data_key, key, object, ring,
};

pub fn sealed() -> Result<Vec<Value>> {
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
    let with_data_keys = [
        (
            "the worked example of docs/format.md, with a data key",
            64,
            &["/access_token"][..],
            json!({"access_token": "sbp_example", "project_id": "abc123"}),
        ),
        (
            "with a data key: nested, empty, null and beyond ASCII",
            96,
            &["/a/0/token", "/a~1b~0c/~1~0_key", "/password", "/ä/🔑 key"],
            json!({
                "a": [{"token": ""}, ["no object", 1, true, null]],
                "a/b~c": {"/~_key": "pässwörd 密码 🔐 \u{0}\u{7f}\n"},
                "password": "x".repeat(65),
                "refresh_token": null,
                "ä": {"🔑 key": "fourth"},
            }),
        ),
        (
            "with a data key of the ring's own bytes",
            0,
            &["/token"],
            json!({"token": "x"}),
        ),
        (
            "with a data key: nothing sensitive, nothing sealed, no _enc",
            64,
            &[],
            json!({"project_id": "abc123", "token": null}),
        ),
    ];
    let mut next = 0;
    let mut vectors = Vec::new();
    for (name, first, pointers, plain) in cases {
        vectors.push(vector(name, (first, None), pointers, plain, &mut next)?);
    }
    for (name, first, pointers, plain) in with_data_keys {
        vectors.push(vector(name, (0, Some(first)), pointers, plain, &mut next)?);
    }
    Ok(vectors)
}

/// A config, sealed with a key of the ring or with a data key.
fn vector(
    name: &str,
    (first, data): (u8, Option<u8>),
    pointers: &[&str],
    plain: Value,
    next: &mut u8,
) -> Result<Value> {
    let ring = ring(first)?;
    let data_keys: Vec<_> = data.map(data_key).into_iter().collect();
    let plain = PlainConfig::from_map(object(plain));
    let mut nonces = Vec::new();
    let mut counting = counting(next);
    let keys = OrganizationKeys::new(&ring, &data_keys);
    let stored = keys.seal(&context(ORGANIZATION, INTEGRATION)?, &plain, &mut |bytes| {
        counting(bytes)?;
        nonces.extend_from_slice(bytes);
        Ok(())
    })?;
    let nonces = nonces.chunks(12).map(|nonce| STANDARD.encode(nonce));
    assert_eq!(nonces.len(), pointers.len(), "{name}");
    let mut vector = json!({
        "name": name,
        "key": key(first).to_base64().expose(),
        "kid": data_keys.first().map_or(ring.primary_kid(), |key| key.kid()).to_string(),
        "organization_id": ORGANIZATION,
        "integration_id": INTEGRATION,
        "plain": plain.as_map(),
        "nonces": pointers.iter().zip(nonces).collect::<Vec<_>>(),
        "stored": stored,
    });
    if let [data_key] = &data_keys[..] {
        vector["data_key"] = base64(data_key).into();
    }
    Ok(vector)
}
