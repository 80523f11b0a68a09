use std::collections::BTreeMap;

use clap::ValueEnum;
use kms::WrappingKeys;
use sealed::PlainConfig;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::entry::Entry;
use super::outcome::Code;
use crate::data_keys::DataKeys;

/// What wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A connection a line, as keytool export writes it, or as the body of the API's request
    Connections,
    /// A row of integrations a line, its config sealed, in the current or the legacy form
    Rows,
    /// A connection a line, as Nango's API returns it
    Nango,
    /// The JSON array of `n8n export:credentials --all --decrypted`
    N8n,
    /// A session of Supabase Auth a line, with its provider_token
    SupabaseAuth,
}

impl Format {
    /// Whether the file is one JSON array, whose entries are counted instead of lines.
    pub fn is_array(self) -> bool {
        self == Self::N8n
    }

    pub fn unit(self) -> &'static str {
        if self.is_array() { "entry" } else { "line" }
    }
}

pub struct Source {
    pub format: Format,
    /// The integration types, by the source's names. A name that is missing is the type.
    pub types: BTreeMap<String, String>,
    /// The names of credential fields, by the source's names.
    pub fields: BTreeMap<String, String>,
    /// The organization of a line that names none.
    pub organization: Option<Uuid>,
    /// What opens the configs of rows.
    pub keys: Option<RowKeys>,
}

pub struct RowKeys {
    pub ring: WrappingKeys,
    pub data_keys: DataKeys,
}

#[derive(Default)]
pub struct Found {
    pub organization: Option<String>,
    /// By the source's name.
    pub integration_type: Option<String>,
    pub account: Option<String>,
    pub external_user: Option<String>,
}

impl Source {
    pub(super) fn entry(&self, found: Found, credential: PlainConfig) -> Result<Entry, Code> {
        let named = found.organization.map(|id| id.parse::<Uuid>());
        let organization = named.transpose().map_err(|_| Code::MALFORMED)?;
        let kind = found.integration_type.filter(|kind| !kind.is_empty());
        let kind = kind.ok_or(Code::NO_TYPE)?;
        if credential.as_map().is_empty() {
            return Err(Code::NO_CREDENTIAL);
        }
        Ok(Entry {
            organization: organization
                .or(self.organization)
                .ok_or(Code::NO_ORGANIZATION)?,
            integration_type: self.types.get(&kind).cloned().unwrap_or(kind),
            credential,
            is_config: false,
            account: found.account,
            external_user: found.external_user,
        })
    }

    /// The credential of these texts by their own names: those that `defaults` or `--field` name, under the names that these give them.
    pub(super) fn fields(
        &self,
        given: &Map<String, Value>,
        defaults: &[(&str, &str)],
    ) -> PlainConfig {
        let own = self.fields.iter().map(|(from, to)| (&**from, &**to));
        let defaults = defaults
            .iter()
            .copied()
            .filter(|(from, _)| !self.fields.contains_key(*from));
        let texts = defaults.chain(own).filter_map(|(from, to)| {
            let value = given.get(from)?;
            value.is_string().then(|| (to.to_owned(), value.clone()))
        });
        PlainConfig::from_map(texts.collect())
    }
}

/// A grant as most applications keep it.
#[derive(Default, Deserialize)]
pub struct Grant {
    pub access_token: Option<String>,
    pub refresh_token: Option<String>,
    pub expires_at: Option<String>,
    pub scope: Option<String>,
}

impl Grant {
    pub fn into_credential(self) -> Result<PlainConfig, Code> {
        let has = |token: &Option<String>| token.as_ref().is_some_and(|token| !token.is_empty());
        if !has(&self.access_token) && !has(&self.refresh_token) {
            return Err(Code::NO_CREDENTIAL);
        }
        let members = [
            ("access_token", self.access_token),
            ("refresh_token", self.refresh_token),
            ("expires_at", self.expires_at),
            ("scope", self.scope),
        ];
        let present = members.into_iter().filter_map(|(name, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            Some((name.to_owned(), Value::from(value)))
        });
        Ok(PlainConfig::from_map(present.collect()))
    }
}

/// Reads JSON of a shape. What is wrong with it is not said: the parser would quote it.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Code> {
    serde_json::from_slice(text).map_err(|_| Code::MALFORMED)
}
