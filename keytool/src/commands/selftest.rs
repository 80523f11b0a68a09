//! The source document's `test-encryption`: checks that this build, on this machine, seals and opens as docs/format.md says.
//! The vectors of both implementations are compiled in, so it needs no key and no database.

use sealed::vectors::Vectors;
use sealed::{Key, KeyRing, PlainConfig, RowContext, StoredConfig};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::{output, random};

const FILES: [(&str, &str); 2] = [
    (
        "the crate's vectors",
        include_str!("../../../sealed/tests/vectors.json"),
    ),
    (
        "node:crypto's vectors",
        include_str!("../../../sealed/tests/vectors-node.json"),
    ),
];

/// What failed in a check, and where.
type Check<T = ()> = std::result::Result<T, String>;

pub fn run(json: bool) -> Result<()> {
    let mut failed = 0;
    let mut checks = Vec::new();
    let mut report = |name: String, outcome: Check<usize>| -> Result<()> {
        if !json {
            match &outcome {
                Ok(count) => output::line(&format!("ok      {name} ({count})"))?,
                Err(why) => output::line(&format!("FAILED  {name}: {why}"))?,
            }
        }
        failed += usize::from(outcome.is_err());
        checks.push(match outcome {
            Ok(count) => json!({"name": name, "ok": true, "count": count}),
            Err(why) => json!({"name": name, "ok": false, "why": why}),
        });
        Ok(())
    };
    for (name, text) in FILES {
        let checked = Vectors::parse(text).and_then(|vectors| vectors.check());
        report(name.to_owned(), checked)?;
    }
    report("a fresh key seals and opens".to_owned(), round_trip())?;
    report("every changed bit is noticed".to_owned(), tampering())?;
    if json {
        output::json(&json!({"ok": failed == 0, "checks": checks}))?;
    }
    if failed == 0 {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Machine, format!("{failed} checks failed"))
            .hint("do not seal anything with this program on this machine"),
    )
}

fn round_trip() -> Check<usize> {
    let (ring, context) = (fresh_ring()?, fresh_context()?);
    let plain = object(json!({
        "access_token": "sbp_0123456789abcdef", "refresh_token": "", "project_id": "abc123",
        "nested": [{"apiKey": "ключ 🔑", "size": 12345678901234567890u64}], "expires_at": null
    }))?;
    let stored = seal(&ring, &context, &plain)?;
    for secret in ["sbp_0123456789abcdef", "ключ"] {
        if Value::Object(stored.clone()).to_string().contains(secret) {
            return Err("a secret was stored in the clear".to_owned());
        }
    }
    let opened = ring
        .open(&context, &stored)
        .map_err(|error| error.to_string())?;
    if *opened.as_map() != plain {
        return Err("what was opened is not what was sealed".to_owned());
    }
    if fresh_ring()?.open(&context, &stored).is_ok()
        || ring.open(&fresh_context()?, &stored).is_ok()
    {
        return Err("it opens with another key, or in another row".to_owned());
    }
    Ok(1)
}

/// Replaces each character of a sealed value by those that differ in one bit of the value.
fn tampering() -> Check<usize> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (ring, context) = (fresh_ring()?, fresh_context()?);
    let plain = object(json!({"access_token": "sbp_0123456789abcdef"}))?;
    let stored = seal(&ring, &context, &plain)?;
    let sealed = stored
        .get("access_token")
        .and_then(Value::as_str)
        .ok_or("nothing was sealed")?;
    let mut changes = 0;
    for (index, letter) in sealed.bytes().enumerate() {
        let Some(value) = ALPHABET.iter().position(|other| *other == letter) else {
            continue;
        };
        for bit in 0..6 {
            let mut changed = sealed.to_owned();
            let other = char::from(ALPHABET[value ^ (1 << bit)]);
            changed.replace_range(index..=index, other.encode_utf8(&mut [0; 4]));
            let mut config = stored.clone();
            config.insert("access_token".to_owned(), Value::String(changed));
            if ring.open(&context, &config).is_ok() {
                return Err(format!("a change of character {index} was not noticed"));
            }
            changes += 1;
        }
    }
    Ok(changes)
}

fn object(config: Value) -> Check<Map<String, Value>> {
    match config {
        Value::Object(members) => Ok(members),
        _ => Err("no object".to_owned()),
    }
}

fn seal(ring: &KeyRing, context: &RowContext, plain: &Map<String, Value>) -> Check<StoredConfig> {
    ring.seal(
        context,
        &PlainConfig::from_map(plain.clone()),
        &mut random::fill,
    )
    .map_err(|error| error.to_string())
}

fn fresh_ring() -> Check<KeyRing> {
    let mut bytes = Zeroizing::new([0; 32]);
    random::fill(&mut *bytes).map_err(|error| error.to_string())?;
    KeyRing::new(Key::from_bytes(*bytes), Vec::new()).map_err(|error| error.to_string())
}

fn fresh_context() -> Check<RowContext> {
    let mut bytes = [0; 32];
    random::fill(&mut bytes).map_err(|error| error.to_string())?;
    let [organization_id, integration_id] = [0, 16].map(|start| {
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[start..start + 16]);
        Uuid::from_bytes(id)
    });
    Ok(RowContext {
        organization_id,
        integration_id,
    })
}
