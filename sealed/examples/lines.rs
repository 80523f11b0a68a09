//! Seals and opens configs, a JSON line each, for the tests of other implementations of the format (`tests/format`).
//!
//! A line in: `{"do": "seal" or "open", "keys": [primary, …], "organization_id", "integration_id", "config"}`. A line out:
//! `{"config": …}`, or `{"fault", "pointer"}` where the config is refused.

use std::error::Error;
use std::io::{self, BufRead, BufWriter, Write};

use sealed::{Key, KeyRing, PlainConfig, RandomError, RowContext, SealError};
use serde_json::{Map, Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        writeln!(out, "{}", answer(&serde_json::from_str(&line?)?)?)?;
    }
    Ok(out.flush()?)
}

fn answer(line: &Value) -> Result<Value> {
    let keys = line["keys"].as_array().ok_or("no keys")?;
    let mut keys = keys.iter().map(|key| Ok(Key::from_base64(text(key)?)?));
    let primary = keys.next().ok_or("no key")??;
    let ring = KeyRing::new(primary, keys.collect::<Result<_>>()?)?;
    let context = RowContext {
        organization_id: text(&line["organization_id"])?.parse()?,
        integration_id: text(&line["integration_id"])?.parse()?,
    };
    let Some(config) = line["config"].as_object().cloned() else {
        return Ok(json!({"fault": "no-object", "pointer": ""}));
    };
    let result = match text(&line["do"])? {
        "seal" => seal(&ring, &context, config)?,
        "open" => ring
            .open(&context, &config)
            .map(|plain| plain.as_map().clone())
            .map_err(|error| (error.class().as_str(), error.pointer().to_owned())),
        other => return Err(format!("cannot {other}").into()),
    };
    Ok(match result {
        Ok(config) => json!({"config": config}),
        Err((fault, pointer)) => json!({"fault": fault, "pointer": pointer}),
    })
}

type Outcome = std::result::Result<Map<String, Value>, (&'static str, String)>;

fn seal(ring: &KeyRing, context: &RowContext, config: Map<String, Value>) -> Result<Outcome> {
    // Counted, so that no source of randomness is needed: these keys seal nothing but tests.
    let random = &mut |bytes: &mut [u8]| -> std::result::Result<(), RandomError> {
        for (i, nonce) in bytes.chunks_mut(12).enumerate() {
            nonce.fill(0xAA);
            nonce[..8].copy_from_slice(&(i as u64).to_be_bytes());
        }
        Ok(())
    };
    match ring.seal(context, &PlainConfig::from_map(config), random) {
        Ok(stored) => Ok(Ok(stored)),
        Err(SealError::Refused(refused)) => Ok(Err((
            refused.class().as_str(),
            refused.pointer().to_owned(),
        ))),
        Err(error) => Err(error.into()),
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| "no text".into())
}
