//! Signing secrets and signatures (Standard Webhooks, "Signature scheme": `v1`, HMAC-SHA256).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sealed::{PlainConfig, Secret};
use serde_json::{Map, Value};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// The length of a secret in bytes, which is the hash's.
const LENGTH: usize = 32;

/// A signing secret in the receiver's form: `whsec_` and the base64 of 32 random bytes.
#[derive(Debug)]
pub struct SigningSecret(Secret);

impl SigningSecret {
    pub fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(format!("{PREFIX}{}", BASE64_STANDARD.encode(bytes)).into())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let secret = Self(text.to_owned().into());
        secret.key().map(|_| secret)
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The signature of a message: `v1,` and the base64 of the MAC of `id.timestamp.body`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let key = self.key().unwrap_or_default();
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
            unreachable!("HMAC takes keys of any length")
        };
        for part in [id, ".", &timestamp.to_string(), ".", body] {
            mac.update(part.as_bytes());
        }
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }

    fn key(&self) -> Option<[u8; LENGTH]> {
        let text = self.0.expose().strip_prefix(PREFIX)?;
        BASE64_STANDARD.decode(text).ok()?.try_into().ok()
    }
}

const CURRENT: &str = "secret";
const PREVIOUS: &str = "previous_secret";

/// An endpoint's secrets as a config, so that they are sealed.
pub fn config(current: &SigningSecret, previous: Option<&SigningSecret>) -> PlainConfig {
    let mut map = Map::new();
    map.insert(CURRENT.to_owned(), Value::from(current.expose()));
    if let Some(previous) = previous {
        map.insert(PREVIOUS.to_owned(), Value::from(previous.expose()));
    }
    PlainConfig::from_map(map)
}

/// The current secret of such a config.
pub fn current(config: &PlainConfig) -> Option<SigningSecret> {
    config.get_str(CURRENT).and_then(SigningSecret::parse)
}

/// All secrets that sign: the current one and, with `both`, the previous one. None if the config holds no secret.
pub fn signing(config: &PlainConfig, both: bool) -> Vec<SigningSecret> {
    let previous = config
        .get_str(PREVIOUS)
        .filter(|_| both)
        .and_then(SigningSecret::parse);
    match current(config) {
        Some(current) => std::iter::once(current).chain(previous).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The specification's own example.
    #[test]
    fn a_signature_is_the_specifications() {
        let secret = SigningSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into());
        // The example's secret has 24 bytes; ours have 32, and no other length is accepted.
        assert!(secret.key().is_none());
        let secret = SigningSecret::from_bytes([7; 32]);
        assert_eq!(
            secret.expose(),
            "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
        );
        let read = SigningSecret::parse(secret.expose()).unwrap();
        assert_eq!(read.sign("a", 1, "b"), secret.sign("a", 1, "b"));
        assert_ne!(read.sign("a", 1, "b"), secret.sign("a", 2, "b"));
    }

    #[test]
    fn what_is_no_secret_of_ours_is_none() {
        for wrong in [
            "",
            "whsec_",
            "whsec_AAAA",
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
            "whsec_ä",
        ] {
            assert!(SigningSecret::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn both_secrets_sign_while_both_are_good() {
        let (new, old) = (
            SigningSecret::from_bytes([1; 32]),
            SigningSecret::from_bytes([2; 32]),
        );
        let texts = |config: &PlainConfig, both| {
            let secrets = signing(config, both);
            secrets
                .iter()
                .map(|secret| secret.expose().to_owned())
                .collect::<Vec<_>>()
        };
        let config = super::config(&new, Some(&old));
        assert_eq!(texts(&config, true), [new.expose(), old.expose()]);
        assert_eq!(texts(&config, false), [new.expose()]);
        assert_eq!(texts(&super::config(&new, None), true), [new.expose()]);
        assert!(texts(&PlainConfig::from_map(Map::new()), true).is_empty());
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(
            format!("{:?}", SigningSecret::from_bytes([1; 32])),
            "SigningSecret(Secret(..))"
        );
    }
}
