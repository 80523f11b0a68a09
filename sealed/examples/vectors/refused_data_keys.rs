//! Configs that name a data key and do not open.

use sealed::{Fault, OrganizationKeys, PlainConfig, StoredConfig};
use serde_json::{Value, json};

use crate::{
    INTEGRATION, ORGANIZATION, OTHER, Result, base64, context, counting, data_key, key, object,
    ring,
};

/// Each with the class and the place of its fault.
pub fn refused() -> Result<Vec<Value>> {
    let here = context(ORGANIZATION, INTEGRATION)?;
    let plain = PlainConfig::from_map(object(json!({"access_token": "sbp_example"})));
    let mut next = 50;
    let (wrapping, current) = (ring(0)?, [data_key(64)]);
    let keys = OrganizationKeys::new(&wrapping, &current);
    let base = keys.seal(&here, &plain, &mut counting(&mut next))?;
    let v2 = wrapping.seal(&here, &plain, &mut counting(&mut next))?;
    let kid = current[0].kid().to_string();
    let with = |base: &StoredConfig, name: &str, value: Value| {
        let mut config = base.clone();
        config.insert(name.into(), value);
        config
    };
    let named = |base: &StoredConfig, version: u8| {
        let mut config = base.clone();
        config["_enc"]["v"] = version.into();
        config
    };
    let mut moved = base.clone();
    let token = moved.remove("access_token").unwrap_or_default();
    moved.insert("refresh_token".into(), token);
    let other_kid = data_key(96).kid().to_string();
    // Of the ring, of the data keys: the first bytes of each.
    let (ring, data) = (&[0, 1][..], &[96, 64][..]);
    let cases = [
        (
            "another data key's kid",
            with(&base, "_enc", json!({"v": 3, "kid": other_kid})),
            ring,
            data,
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "moved to another field",
            moved,
            ring,
            data,
            Fault::NotAuthentic,
            "/refresh_token",
        ),
        (
            "a data key that is not there",
            base.clone(),
            ring,
            &[96],
            Fault::UnknownKey,
            "/_enc",
        ),
        (
            "without data keys",
            base.clone(),
            ring,
            &[],
            Fault::UnknownKey,
            "/_enc",
        ),
        (
            "a key of the ring for a data key",
            base.clone(),
            &[0, 64],
            &[96],
            Fault::UnknownKey,
            "/_enc",
        ),
        (
            "named version 2",
            named(&base, 2),
            &[0, 64],
            data,
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "version 2, named version 3",
            named(&v2, 3),
            ring,
            &[64, 0],
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "a data key for a key of the ring",
            v2,
            &[1],
            &[64, 0],
            Fault::UnknownKey,
            "/_enc",
        ),
        (
            "in the clear",
            with(&base, "access_token", json!("sbp_example")),
            ring,
            data,
            Fault::NotSealed,
            "/access_token",
        ),
        (
            "in the clear beside it",
            with(&base, "api_key", json!("k")),
            ring,
            data,
            Fault::NotSealed,
            "/api_key",
        ),
        (
            "3.0, and an unknown kid",
            with(&base, "_enc", json!({"v": 3.0, "kid": "0123456789abcdef"})),
            ring,
            data,
            Fault::UnknownKey,
            "/_enc",
        ),
        (
            "no kid",
            with(&base, "_enc", json!({"v": 3})),
            ring,
            data,
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "version as text",
            with(&base, "_enc", json!({"v": "3", "kid": kid})),
            ring,
            data,
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "a member too many",
            with(
                &base,
                "_enc",
                json!({"v": 3, "kid": kid, "wrapping_kid": kid}),
            ),
            ring,
            data,
            Fault::MalformedEnc,
            "/_enc",
        ),
        (
            "another organization",
            base.clone(),
            ring,
            data,
            Fault::NotAuthentic,
            "/access_token",
        ),
        (
            "another row",
            base,
            ring,
            data,
            Fault::NotAuthentic,
            "/access_token",
        ),
    ];
    let mut vectors = Vec::new();
    for (name, stored, ring, data, fault, pointer) in cases {
        vectors.push(json!({
            "name": format!("version 3: {name}"), "stored": stored, "fault": fault.as_str(), "pointer": pointer,
            "organization_id": if name == "another organization" { OTHER } else { ORGANIZATION },
            "integration_id": if name == "another row" { OTHER } else { INTEGRATION },
            "keys": ring.iter().map(|first| key(*first).to_base64().expose().to_owned()).collect::<Vec<_>>(),
            "data_keys": data.iter().map(|first| base64(&data_key(*first))).collect::<Vec<_>>(),
        }));
    }
    Ok(vectors)
}
