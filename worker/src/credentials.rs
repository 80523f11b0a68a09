//! Turns a grant into a row's config and back, and names the row that a config is sealed for.

use crate::error::{Error, Result};
use crate::ids::{EndpointId, IntegrationId, OauthAppId, OrganizationId, PendingId, TransactionId};
use crate::oauth::{Account, Grant, scopes, token};
use crate::random::RandomToken;
use catalogue::Provider;
use platform::data_keys;
use sealed::{Fault, PlainConfig, RowContext, Secret};
use serde_json::{Map, Value};
use std::fmt;
use uuid::Uuid;

/// The config of a grant without an account, with the members that the source document shows.
pub fn config(grant: &Grant) -> PlainConfig {
    renewed(&PlainConfig::from_map(Map::new()), grant)
}

/// The config's member with the granted scopes, separated by spaces.
const SCOPE: &str = "scope";

pub fn granted_scopes(config: &Map<String, Value>) -> Option<Vec<&str>> {
    let text = config.get(SCOPE)?.as_str()?;
    Some(scopes::split(text).collect())
}

pub fn with_account(config: &PlainConfig, provider: &Provider, account: &Account) -> PlainConfig {
    let mut map = config.as_map().clone();
    map.insert(
        provider.identity.stored_as.id.clone(),
        Value::from(account.id.as_str()),
    );
    map.insert(
        provider.identity.stored_as.name.clone(),
        Value::from(account.name.as_str()),
    );
    PlainConfig::from_map(map)
}

/// A config with the tokens of a refresh; its other members stay. Without a new refresh token, the old one stays valid (RFC 6749, 6). Without
/// a lifetime, the previous expiry no longer holds.
pub fn renewed(config: &PlainConfig, grant: &Grant) -> PlainConfig {
    let mut map = config.as_map().clone();
    let mut put = |name: &str, value: &str| map.insert(name.to_owned(), Value::from(value));
    put("access_token", grant.access_token.expose());
    if let Some(token) = &grant.refresh_token {
        put("refresh_token", token.expose());
    }
    if let Some(scopes) = grant.scopes.as_ref().filter(|scopes| !scopes.is_empty()) {
        put(SCOPE, &scopes.join(" "));
    }
    for (name, value) in &grant.metadata {
        put(name, value);
    }
    match grant.expires_at {
        Some(moment) => put("expires_at", &token::timestamp(moment)),
        None => map.remove("expires_at"),
    };
    PlainConfig::from_map(map)
}

/// Reads a row's config from its JSON text. None if it is not an object, is nested too deep, or has a member name that serde_json treats
/// specially: such a config would not be written as it was read.
pub fn parse(text: &str) -> Option<Map<String, Value>> {
    parse_to_read(text).filter(|_| !text.contains("$serde_json::private"))
}

/// Reads the config of a deleted row. It is never written back, so such a name does not prevent its revocation.
pub fn parse_to_read(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

pub fn credential(config: &PlainConfig, name: &str) -> Option<Secret> {
    config
        .get_str(name)
        .map(|text| Secret::from(text.to_owned()))
}

/// A PKCE verifier as a config, so that it is sealed. It must not be stored in the clear beside the state's hash.
/// With it the scopes that are requested, which the token response may leave out.
pub fn of_verifier(verifier: &RandomToken, scope: &str) -> PlainConfig {
    let mut map = Map::new();
    map.insert(VERIFIER.to_owned(), Value::from(verifier.expose()));
    if !scope.is_empty() {
        map.insert(SCOPE.to_owned(), Value::from(scope));
    }
    PlainConfig::from_map(map)
}

pub fn verifier(config: &PlainConfig) -> Result<Secret> {
    credential(config, VERIFIER).ok_or(Error::Internal {
        detail: "oauth_transactions.verifier holds no verifier".to_owned(),
    })
}

const VERIFIER: &str = "verifier_secret";

/// The row that a sealed value is bound to, besides its organization. Rows of different tables never open each other's values.
#[derive(Debug, Clone, Copy)]
pub enum Row {
    Integration(IntegrationId),
    Transaction(TransactionId),
    Pending(PendingId),
    Endpoint(EndpointId),
    OauthApp(OauthAppId),
}

impl Row {
    pub fn context(self, organization: OrganizationId) -> RowContext {
        RowContext {
            organization_id: organization.0,
            integration_id: self.id(),
        }
    }

    fn id(self) -> Uuid {
        match self {
            Self::Integration(id) => id.0,
            Self::Transaction(id) => id.0,
            Self::Pending(id) => id.0,
            Self::Endpoint(id) => id.0,
            Self::OauthApp(id) => id.0,
        }
    }

    fn table(self) -> &'static str {
        match self {
            Self::Integration(_) => "integrations",
            Self::Transaction(_) => "oauth_transactions",
            Self::Pending(_) => "pending_connections",
            Self::Endpoint(_) => "webhook_endpoints",
            Self::OauthApp(_) => "oauth_apps",
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table(), self.id())
    }
}

/// Why a row's config does not open.
#[derive(Debug)]
pub struct Unopened {
    /// Names the row, the field and the class of the fault.
    pub detail: String,
    /// Whether another key may open it.
    pub may_open_later: bool,
}

impl Unopened {
    pub fn of(row: Row, unopened: data_keys::Unopened) -> Self {
        Self {
            detail: format!("{row} {}", unopened.detail),
            may_open_later: matches!(
                unopened.class,
                Fault::UnknownKey | Fault::UnknownVersion | Fault::NotAuthentic
            ),
        }
    }
}

impl From<Unopened> for Error {
    fn from(unopened: Unopened) -> Self {
        Self::Internal {
            detail: unopened.detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use sealed::{Key, KeyRing};

    fn grant() -> Grant {
        Grant {
            access_token: "planted-access".to_owned().into(),
            refresh_token: Some("planted-refresh".to_owned().into()),
            expires_at: Some(DateTime::UNIX_EPOCH),
            scopes: None,
            metadata: vec![],
            account: None,
        }
    }

    fn provider() -> Provider {
        crate::providers::all().unwrap().remove(0)
    }

    #[test]
    fn a_config_is_read_only_where_it_can_be_written_unchanged() {
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(130), "]".repeat(130));
        for (text, is_read) in [
            (
                r#"{"x":1e400,"y":{"z":123456789012345678901234567890.10}}"#,
                true,
            ),
            ("{}", true),
            (deep.as_str(), false),
            (r#"{"x":{"$serde_json::private::Number":"7"}}"#, false),
            (r#"{"x":{"$serde_json::private::Number":"planted"}}"#, false),
            ("[]", false),
            ("null", false),
            (r#""{}""#, false),
            ("", false),
        ] {
            assert_eq!(parse(text).is_some(), is_read, "{text}");
        }
    }

    fn ids() -> (OrganizationId, Row) {
        (
            OrganizationId(Uuid::from_u128(1)),
            Row::Integration(IntegrationId(Uuid::from_u128(2))),
        )
    }

    fn counter() -> impl FnMut(&mut [u8]) -> Result<(), sealed::RandomError> {
        let mut next = 0;
        move |bytes| {
            bytes.fill_with(|| {
                next += 1;
                next
            });
            Ok(())
        }
    }

    #[test]
    fn the_config_is_the_source_documents() {
        let account = Account {
            id: "abc".into(),
            name: "My Project".into(),
        };
        let whole = with_account(&config(&grant()), &provider(), &account);
        let keys: Vec<_> = whole.as_map().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "access_token",
                "expires_at",
                "project_id",
                "project_name",
                "refresh_token"
            ]
        );
        assert_eq!(whole.get_str("expires_at"), Some("1970-01-01T00:00:00Z"));
    }

    #[test]
    fn a_refresh_replaces_the_tokens_and_keeps_the_rest() {
        let account = Account {
            id: "abc".into(),
            name: "My Project".into(),
        };
        let old = with_account(&config(&grant()), &provider(), &account);
        let fresh = Grant {
            access_token: "a2".to_owned().into(),
            refresh_token: Some("r2".to_owned().into()),
            expires_at: DateTime::from_timestamp(60, 0),
            scopes: None,
            metadata: vec![],
            account: None,
        };
        let renewed_config = renewed(&old, &fresh);
        let text = |name| renewed_config.get_str(name).unwrap();
        assert_eq!(
            [
                text("access_token"),
                text("refresh_token"),
                text("expires_at"),
                text("project_id"),
                text("project_name")
            ],
            ["a2", "r2", "1970-01-01T00:01:00Z", "abc", "My Project"]
        );
        let without = Grant {
            refresh_token: None,
            expires_at: None,
            ..fresh
        };
        let kept = renewed(&old, &without);
        assert_eq!(kept.get_str("refresh_token"), Some("planted-refresh"));
        assert_eq!(kept.get_str("expires_at"), None);
    }

    #[test]
    fn what_is_stored_shows_no_token_and_opens_in_its_place_only() {
        let ring = KeyRing::new(Key::from_bytes([7; 32]), vec![]).unwrap();
        let (organization, row) = ids();
        let plain = config(&grant());
        let place = row.context(organization);
        let stored = ring.seal(&place, &plain, &mut counter()).unwrap();
        assert!(!serde_json::to_string(&stored).unwrap().contains("planted"));
        assert_eq!(ring.open(&place, &stored).unwrap().as_map(), plain.as_map());
        let elsewhere = Row::Integration(IntegrationId(Uuid::from_u128(3)));
        assert!(
            ring.open(&elsewhere.context(organization), &stored)
                .is_err()
        );
    }

    #[test]
    fn an_error_names_the_row_and_says_whether_another_key_may_open_it() {
        let (_, row) = ids();
        for (class, may_open_later) in [
            (Fault::UnknownKey, true),
            (Fault::UnknownVersion, true),
            (Fault::NotAuthentic, true),
            (Fault::Malformed, false),
        ] {
            let unopened = data_keys::Unopened {
                class,
                detail: "/access_token: x".to_owned(),
                lacks_key: false,
            };
            let unopened = Unopened::of(row, unopened);
            assert_eq!(unopened.may_open_later, may_open_later, "{class}");
            assert_eq!(
                unopened.detail,
                "integrations 00000000-0000-0000-0000-000000000002 /access_token: x"
            );
        }
    }

    #[test]
    fn the_verifier_is_sealed_too() {
        let ring = KeyRing::new(Key::from_bytes([7; 32]), vec![]).unwrap();
        let (organization, _) = ids();
        let place = Row::Transaction(TransactionId(Uuid::from_u128(2))).context(organization);
        let token = RandomToken::from_bytes([9; 32]);
        let plain = of_verifier(&token, "read:user repo");
        let stored = ring.seal(&place, &plain, &mut counter()).unwrap();
        assert!(
            !serde_json::to_string(&stored)
                .unwrap()
                .contains(token.expose())
        );
        let opened = ring.open(&place, &stored).unwrap();
        assert_eq!(verifier(&opened).unwrap().expose(), token.expose());
    }
}
