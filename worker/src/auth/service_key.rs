//! Service keys: how a program calls the API without a user. The database knows their hashes only.

use crate::random::RandomToken;
use serde::{Deserialize, Serialize};

/// People and secret scanners recognize a key by it.
const START: &str = "sik_";
/// In characters.
const SHOWN: usize = 8;

/// A service key: `sik_` and 256 random bits in base64url.
pub struct ServiceKey(RandomToken);

impl ServiceKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(RandomToken::from_bytes(bytes))
    }

    /// None: the text is something else, for example a user's token.
    pub fn parse(text: &str) -> Option<Self> {
        RandomToken::parse(text.strip_prefix(START)?).map(Self)
    }

    pub fn expose(&self) -> String {
        format!("{START}{}", self.0.expose())
    }

    /// Shown in lists, so that its owner recognizes it.
    pub fn prefix(&self) -> String {
        self.expose().chars().take(SHOWN).collect()
    }

    /// SHA-256 of its random part as lower-case hex: all that the database stores of it.
    pub fn hash(&self) -> String {
        self.0.hash()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Without their credentials.
    #[serde(rename = "connections:read")]
    ConnectionsRead,
    #[serde(rename = "connections:credentials")]
    ConnectionsCredentials,
    #[serde(rename = "connections:write")]
    ConnectionsWrite,
    #[serde(rename = "connections:import")]
    ConnectionsImport,
    #[serde(rename = "connect_sessions:write")]
    ConnectSessionsWrite,
    #[serde(rename = "webhooks:manage")]
    WebhooksManage,
    #[serde(rename = "findings:read")]
    FindingsRead,
}

impl Scope {
    /// The message for a caller without it.
    pub const fn missing(self) -> &'static str {
        match self {
            Self::ConnectionsRead => "this service key lacks the scope connections:read",
            Self::ConnectionsCredentials => {
                "this service key lacks the scope connections:credentials"
            }
            Self::ConnectionsWrite => "this service key lacks the scope connections:write",
            Self::ConnectionsImport => "this service key lacks the scope connections:import",
            Self::ConnectSessionsWrite => "this service key lacks the scope connect_sessions:write",
            Self::WebhooksManage => "this service key lacks the scope webhooks:manage",
            Self::FindingsRead => "this service key lacks the scope findings:read",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_it_was() {
        let key = ServiceKey::from_bytes([0xff; 32]);
        let again = ServiceKey::parse(&key.expose()).unwrap();
        assert_eq!(again.expose(), key.expose());
        assert_eq!(key.prefix(), "sik_____");
        assert_eq!(key.hash().len(), 64);
    }

    #[test]
    fn nothing_else_is_a_key() {
        let random = "x".repeat(43);
        for wrong in [
            "",
            "sik_",
            &random,
            &format!("SIK_{random}"),
            &format!("sik_{random}x"),
            &format!("sik_sik_{random}"),
            "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIifQ.c2ln",
        ] {
            assert!(ServiceKey::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_a_caller_reads_names_the_scope() {
        let names = [
            "connections:read",
            "connections:credentials",
            "connections:write",
            "connections:import",
            "connect_sessions:write",
            "webhooks:manage",
            "findings:read",
        ];
        for name in names {
            let scope: Scope = serde_json::from_value(name.into()).unwrap();
            assert!(scope.missing().ends_with(&format!(" {name}")), "{name}");
        }
    }
}
