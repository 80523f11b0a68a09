//! Our own forms: what `keytool export` writes, the body of the API's request, and rows of the table.

use sealed::{PlainConfig, RowContext};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::entry::Entry;
use super::outcome::Code;
use super::source::{Found, Source, parse};
use crate::config;

#[derive(Deserialize)]
struct Line<'a> {
    id: Option<String>,
    organization_id: Option<String>,
    integration_type: Option<String>,
    account_id: Option<String>,
    external_account_id: Option<String>,
    external_user_id: Option<String>,
    oauth_app_id: Option<IgnoredAny>,
    #[serde(borrow)]
    credential: Option<&'a RawValue>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, Code> {
        let line: Self = parse(text)?;
        match line.oauth_app_id {
            Some(_) => Err(Code::OWN_OAUTH_APP),
            None => Ok(line),
        }
    }

    fn found(self) -> Found {
        Found {
            organization: self.organization_id,
            integration_type: self.integration_type,
            account: self.account_id.or(self.external_account_id),
            external_user: self.external_user_id,
        }
    }
}

pub fn read(source: &Source, text: &[u8]) -> Result<Entry, Code> {
    let line = Line::parse(text)?;
    let credential = line.credential.or(line.config).ok_or(Code::NO_CREDENTIAL)?;
    let credential = config::parse(credential.get()).map_err(|_| Code::MALFORMED)?;
    if credential.contains_key("_enc") {
        return Err(Code::ENCRYPTED);
    }
    let is_config = line.credential.is_none();
    let entry = source.entry(line.found(), PlainConfig::from_map(credential))?;
    Ok(Entry { is_config, ..entry })
}

/// Opens the row's config. It is sealed for this row, so the line has to name its id and its organization.
pub fn read_sealed(source: &Source, text: &[u8]) -> Result<Entry, Code> {
    let line = Line::parse(text)?;
    let uuid = |id: &Option<String>| {
        let id = id.as_deref().ok_or(Code::MALFORMED)?;
        id.parse().map_err(|_| Code::MALFORMED)
    };
    let context = RowContext {
        organization_id: uuid(&line.organization_id)?,
        integration_id: uuid(&line.id)?,
    };
    let stored = line.config.ok_or(Code::NO_CREDENTIAL)?;
    let stored = config::parse(stored.get()).map_err(|_| Code::MALFORMED)?;
    let keys = source.keys.as_ref().ok_or(Code::DOES_NOT_OPEN)?;
    let credential = keys
        .data_keys
        .open(&keys.ring, context, &stored)
        .map_err(|_| Code::DOES_NOT_OPEN)?;
    let entry = source.entry(line.found(), credential)?;
    Ok(Entry {
        is_config: true,
        ..entry
    })
}
