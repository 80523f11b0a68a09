//! Wrapped data keys, and such as nothing unwraps.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealed::{Fault, WrappedKey};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{ORGANIZATION, OTHER, Result, base64, counting, data_key, key, ring};

/// The deployment's own organization.
const NIL: &str = "00000000-0000-0000-0000-000000000000";

pub fn wrapped() -> Result<Vec<Value>> {
    let mut next = 200;
    let mut vectors = Vec::new();
    for (name, wrapping, organization_id, first) in [
        ("the worked example of docs/format.md", 0, ORGANIZATION, 64),
        ("the same data key, with another key", 1, ORGANIZATION, 64),
        ("of the deployment itself", 0, NIL, 96),
        ("a data key of the wrapping key's own bytes", 0, OTHER, 0),
    ] {
        let mut nonce = Vec::new();
        let mut counting = counting(&mut next);
        let data_key = data_key(first);
        let wrapped = ring(wrapping)?.wrap(organization_id.parse()?, &data_key, &mut |bytes| {
            counting(bytes)?;
            nonce.extend_from_slice(bytes);
            Ok(())
        })?;
        let mut vector = row(organization_id, &wrapped);
        vector["name"] = name.into();
        vector["key"] = key(wrapping).to_base64().expose().into();
        vector["data_key"] = base64(&data_key).into();
        vector["nonce"] = STANDARD.encode(nonce).into();
        vectors.push(vector);
    }
    Ok(vectors)
}

pub fn refused() -> Result<Vec<Value>> {
    let organization_id: Uuid = ORGANIZATION.parse()?;
    let wrapped = ring(0)?.wrap(organization_id, &data_key(64), &mut counting(&mut 150))?;
    let with = |change: &dyn Fn(&mut WrappedKey)| {
        let mut changed = wrapped.clone();
        change(&mut changed);
        row(ORGANIZATION, &changed)
    };
    let other_kid = data_key(96).kid();
    let ring_kid = ring(1)?.primary_kid();
    let unknown = ring(2)?.primary_kid();
    let cases = [
        (
            "another organization",
            row(OTHER, &wrapped),
            Fault::NotAuthentic,
        ),
        (
            "another data key's kid",
            with(&|key| key.kid = other_kid),
            Fault::NotAuthentic,
        ),
        (
            "another wrapping key's kid",
            with(&|key| key.wrapping_kid = ring_kid),
            Fault::NotAuthentic,
        ),
        (
            "a wrapping key that is not in the ring",
            with(&|key| key.wrapping_kid = unknown),
            Fault::UnknownKey,
        ),
        ("empty", with(&|key| key.wrapped.clear()), Fault::NotSealed),
        (
            "two parts",
            with(&|key| key.wrapped.truncate(41)),
            Fault::NotSealed,
        ),
        (
            "without padding",
            with(&|key| key.wrapped.truncate(key.wrapped.len() - 1)),
            Fault::Malformed,
        ),
        (
            "white space",
            with(&|key| key.wrapped.push('\n')),
            Fault::Malformed,
        ),
        (
            "base64url",
            with(&|key| key.wrapped = key.wrapped.replace('+', "-").replace('/', "_")),
            Fault::Malformed,
        ),
    ];
    let mut vectors = Vec::new();
    for (name, mut vector, fault) in cases {
        vector["name"] = name.into();
        vector["keys"] = json!([key(0).to_base64().expose(), key(1).to_base64().expose()]);
        vector["fault"] = fault.as_str().into();
        vectors.push(vector);
    }
    Ok(vectors)
}

/// As the database's function `data_keys` returns it.
fn row(organization_id: &str, wrapped: &WrappedKey) -> Value {
    json!({
        "organization_id": organization_id,
        "kid": wrapped.kid.to_string(),
        "wrapping_kid": wrapped.wrapping_kid.to_string(),
        "wrapped": wrapped.wrapped,
    })
}
