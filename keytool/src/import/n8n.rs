//! Credentials as `n8n export:credentials --all --decrypted` writes them: one JSON array.

use sealed::PlainConfig;
use serde::Deserialize;
use serde_json::Value;

use super::entry::Entry;
use super::outcome::Code;
use super::source::{Found, Grant, Source, parse};

#[derive(Deserialize)]
struct Credential {
    /// Ours: n8n has none. Whoever prepares the file adds it.
    organization_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    data: Option<Value>,
}

pub fn read(source: &Source, text: &[u8]) -> Result<Entry, Code> {
    let entry: Credential = parse(text)?;
    let data = match entry.data {
        Some(Value::Object(data)) => PlainConfig::from_map(data),
        // Without --decrypted it is a text.
        Some(Value::String(_)) => return Err(Code::ENCRYPTED),
        _ => return Err(Code::NO_CREDENTIAL),
    };
    let credential = match data.get("oauthTokenData") {
        Some(Value::Object(token)) => {
            let text = |name: &str| token.get(name)?.as_str().map(str::to_owned);
            // n8n keeps expires_in without the time from which it counts.
            let grant = Grant {
                access_token: text("access_token"),
                refresh_token: text("refresh_token"),
                expires_at: None,
                scope: text("scope"),
            };
            grant.into_credential()?
        }
        _ => source.fields(data.as_map(), &[("apiKey", "api_key")]),
    };
    let found = Found {
        organization: entry.organization_id,
        integration_type: entry.kind,
        ..Found::default()
    };
    source.entry(found, credential)
}
