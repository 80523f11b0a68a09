//! Connections as Nango's API returns them: `GET /connections/:id`, a line each.

use sealed::PlainConfig;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::entry::Entry;
use super::outcome::Code;
use super::source::{Found, Grant, Source, parse};

#[derive(Deserialize)]
struct Connection {
    /// Ours: Nango has none. Whoever prepares the file adds it.
    organization_id: Option<String>,
    provider_config_key: Option<String>,
    credentials: Option<Map<String, Value>>,
    end_user: Option<EndUser>,
    /// Texts that the credential needs, such as a subdomain.
    connection_config: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct EndUser {
    id: Option<String>,
}

pub fn read(source: &Source, text: &[u8]) -> Result<Entry, Code> {
    let line: Connection = parse(text)?;
    let credentials = line.credentials.ok_or(Code::NO_CREDENTIAL)?;
    let mut given = line.connection_config.unwrap_or_default();
    given.extend(credentials);
    // Zeroizes the strings that are not used.
    let given = PlainConfig::from_map(given);
    let text = |name: &str| given.get_str(name).map(str::to_owned);
    let credential = match given.get_str("type").unwrap_or_default() {
        "OAUTH2" => {
            let scope = given.get("raw").and_then(|raw| raw.get("scope")?.as_str());
            let grant = Grant {
                access_token: text("access_token"),
                refresh_token: text("refresh_token"),
                expires_at: text("expires_at"),
                scope: scope.map(str::to_owned),
            };
            grant.into_credential()?
        }
        "API_KEY" => source.fields(given.as_map(), &[("apiKey", "api_key")]),
        "BASIC" => source.fields(
            given.as_map(),
            &[("username", "username"), ("password", "password")],
        ),
        "OAUTH2_CC" => source.fields(
            given.as_map(),
            &[
                ("client_id", "client_id"),
                ("client_secret", "client_secret"),
            ],
        ),
        _ => return Err(Code::UNSUPPORTED),
    };
    let found = Found {
        organization: line.organization_id,
        integration_type: line.provider_config_key,
        account: None,
        external_user: line.end_user.and_then(|user| user.id),
    };
    source.entry(found, credential)
}
