//! Seals and opens configs, a JSON line each, for the tests of other implementations of the format (`tests/format`).
//!
//! A line in: `{"do": "seal" or "open", "keys": [primary, …], "data_keys": [current, …], "organization_id", "integration_id", "config"}`. The
//! data keys are wrapped, as the database's function `data_keys` returns them. A line out: `{"config": …}`, or `{"fault", "pointer"}` where the
//! config is refused. The data key that a config names is its `_enc`'s business: where it does not unwrap, the pointer is `/_enc`.

use std::error::Error;
use std::io::{self, BufRead, BufWriter, Write};

use sealed::{
    DataKey, Form, Key, KeyRing, OpenError, OrganizationKeys, PlainConfig, RandomError, RowContext,
    SealError, WrappedKey,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

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
    let rows = line["data_keys"].as_array().map_or(&[][..], Vec::as_slice);
    let result = match text(&line["do"])? {
        "seal" => {
            let current = rows
                .first()
                .map(|row| Ok::<_, Box<dyn Error>>(unwrap(&ring, row)??));
            let current = current.transpose()?;
            seal(
                OrganizationKeys::new(&ring, current.as_slice()),
                &context,
                config,
            )?
        }
        "open" => open(&ring, rows, &context, &config)?,
        other => return Err(format!("cannot {other}").into()),
    };
    Ok(match result {
        Ok(config) => json!({"config": config}),
        Err((fault, pointer)) => json!({"fault": fault, "pointer": pointer}),
    })
}

fn open(
    ring: &KeyRing,
    rows: &[Value],
    context: &RowContext,
    config: &Map<String, Value>,
) -> Result<Outcome> {
    let refused =
        |error: &OpenError, pointer: &str| Ok(Err((error.class().as_str(), pointer.to_owned())));
    let mut data_keys = Vec::new();
    if let Form::V3(kid) = sealed::form(config)
        && let Some(row) = rows.iter().find(|row| row["kid"] == kid.to_string())
    {
        match unwrap(ring, row)? {
            Ok(data_key) => data_keys.push(data_key),
            Err(error) => return refused(&error, "/_enc"),
        }
    }
    match OrganizationKeys::new(ring, &data_keys).open(context, config) {
        Ok(plain) => Ok(Ok(plain.as_map().clone())),
        Err(error) => refused(&error, error.pointer()),
    }
}

fn unwrap(ring: &KeyRing, row: &Value) -> Result<std::result::Result<DataKey, OpenError>> {
    let organization_id: Uuid = text(&row["organization_id"])?.parse()?;
    let wrapped = WrappedKey {
        kid: text(&row["kid"])?.parse()?,
        wrapping_kid: text(&row["wrapping_kid"])?.parse()?,
        wrapped: text(&row["wrapped"])?.to_owned(),
    };
    Ok(ring.unwrap(organization_id, &wrapped))
}

type Outcome = std::result::Result<Map<String, Value>, (&'static str, String)>;

fn seal(
    keys: OrganizationKeys<'_>,
    context: &RowContext,
    config: Map<String, Value>,
) -> Result<Outcome> {
    // Counted, so that no source of randomness is needed: these keys seal nothing but tests.
    let random = &mut |bytes: &mut [u8]| -> std::result::Result<(), RandomError> {
        for (i, nonce) in bytes.chunks_mut(12).enumerate() {
            nonce.fill(0xAA);
            nonce[..8].copy_from_slice(&(i as u64).to_be_bytes());
        }
        Ok(())
    };
    match keys.seal(context, &PlainConfig::from_map(config), random) {
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
