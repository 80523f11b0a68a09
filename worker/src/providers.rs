//! The catalogue: what is different from one provider to the next is data (`providers.json`), compiled in.
//!
//! An entry's fields are documented on [`Provider`]; a vocabulary that is closed (enums, unknown fields refused) keeps a
//! misspelt quirk from being ignored.

use serde::Deserialize;

/// One provider, as its documentation describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The integration type: what stands in the path, in the table, and (upper-case) before `_CLIENT_ID`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name for people.
    pub name: String,
    /// The day on which this entry was last compared with the provider's documentation.
    pub verified: chrono::NaiveDate,
    /// The authorization endpoint (RFC 6749, 3.1).
    pub authorize_url: String,
    /// The token endpoint (RFC 6749, 3.2).
    pub token_url: String,
    /// How the client proves itself at the token endpoint (RFC 6749, 2.3.1).
    pub client_auth: ClientAuth,
    /// Scopes to ask for; none where the provider fixes them on the app.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How a token is taken back.
    #[serde(default)]
    pub revocation: Option<Revocation>,
    /// How the account behind a token is found.
    pub identity: Identity,
}

/// Client authentication (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// HTTP Basic.
    Basic,
    /// In the body.
    Post,
}

/// A revocation endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// What it takes.
    pub style: RevocationStyle,
    /// Where it is.
    pub url: String,
}

/// What a revocation endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationStyle {
    /// RFC 7009: a form with `token` and `token_type_hint`, client authentication as at the token endpoint.
    Rfc7009,
    /// JSON with `client_id`, `client_secret` and `refresh_token`, as Supabase has it.
    Json,
}

/// The request that names the account, and where its answer says so.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// A GET with the access token as Bearer. It answers one account (an object) or several (an array of them).
    pub url: String,
    /// JSON Pointers (RFC 6901) into one account.
    pub account: IdAndName,
    /// The config's keys that hold the account's id and name, in plaintext.
    pub stored_as: IdAndName,
}

/// A pair for the account's id and its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdAndName {
    /// For the id: what never changes.
    pub id: String,
    /// For the name: what people call it.
    pub name: String,
}

const CATALOGUE: &str = include_str!("../providers.json");

impl Provider {
    /// All providers of the catalogue, checked.
    pub fn catalogue() -> Result<Vec<Self>, String> {
        let providers: Vec<Self> = serde_json::from_str(CATALOGUE)
            .map_err(|error| format!("providers.json is malformed: {error}"))?;
        for provider in &providers {
            provider
                .check()
                .map_err(|fault| format!("providers.json, {}: {fault}", provider.kind))?;
        }
        Ok(providers)
    }

    /// The same provider at another origin: a self-hosted or a local one.
    pub fn at(mut self, base: &str) -> Self {
        for url in self.urls_mut() {
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            *url = format!("{base}/{path}");
        }
        self
    }

    fn urls_mut(&mut self) -> impl Iterator<Item = &mut String> {
        [
            &mut self.authorize_url,
            &mut self.token_url,
            &mut self.identity.url,
        ]
        .into_iter()
        .chain(
            self.revocation
                .as_mut()
                .map(|revocation| &mut revocation.url),
        )
    }

    fn check(&self) -> Result<(), String> {
        let lower_snake = |text: &str| {
            !text.is_empty()
                && text.len() <= 64
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !lower_snake(&self.kind) {
            return Err("type must be lower-case letters, digits and underscores".into());
        }
        for url in self.clone().urls_mut() {
            if !url.starts_with("https://") || url.contains(['?', '#']) {
                return Err(format!("{url} must be https without query"));
            }
        }
        for pointer in [&self.identity.account.id, &self.identity.account.name] {
            if !pointer.starts_with('/') {
                return Err(format!("{pointer} is no JSON Pointer"));
            }
        }
        for key in [&self.identity.stored_as.id, &self.identity.stored_as.name] {
            if !lower_snake(key) || sealed::is_sensitive(key) {
                return Err(format!("{key} cannot name a plaintext key of the config"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_well_formed_and_every_type_stands_once() {
        let providers = Provider::catalogue().unwrap();
        let mut kinds: Vec<_> = providers
            .iter()
            .map(|provider| provider.kind.as_str())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), providers.len());
        assert!(kinds.contains(&"supabase"));
    }

    #[test]
    fn another_base_moves_every_endpoint() {
        let supabase = Provider::catalogue()
            .unwrap()
            .remove(0)
            .at("http://localhost:4000");
        assert_eq!(
            supabase.authorize_url,
            "http://localhost:4000/v1/oauth/authorize"
        );
        assert_eq!(supabase.token_url, "http://localhost:4000/v1/oauth/token");
        assert_eq!(supabase.identity.url, "http://localhost:4000/v1/projects");
        assert_eq!(
            supabase.revocation.unwrap().url,
            "http://localhost:4000/v1/oauth/revoke"
        );
    }

    #[test]
    fn an_entry_that_is_not_https_or_hides_a_secret_is_refused() {
        let supabase = Provider::catalogue().unwrap().remove(0);
        let mut plain = supabase.clone();
        plain.token_url = "http://api.supabase.com/v1/oauth/token".into();
        assert!(plain.check().is_err());
        let mut sensitive = supabase;
        sensitive.identity.stored_as.id = "project_key".into();
        assert!(sensitive.check().is_err());
    }
}
