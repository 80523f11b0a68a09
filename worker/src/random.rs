//! Random tokens, and the hashes under which they are stored: a reader of the database cannot finish a flow.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sealed::Secret;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// 256 random bits as 43 characters of base64url: `state`, a PKCE verifier (RFC 7636, 4.1), a cookie's value.
#[derive(Debug)]
pub struct RandomToken(Secret);

impl RandomToken {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(bytes).into())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() == 43
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        valid.then(|| Self(text.to_owned().into()))
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// SHA-256 as lower-case hex: what the database stores.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.expose().as_bytes()))
    }
}

/// The PKCE challenge (RFC 7636, 4.2).
pub fn sha256_base64url(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was() {
        let token = RandomToken::from_bytes([0xff; 32]);
        assert_eq!(
            RandomToken::parse(token.expose()).unwrap().expose(),
            token.expose()
        );
        for wrong in [
            "",
            "x",
            &"x".repeat(42),
            &"x".repeat(44),
            &"é".repeat(21),
            &format!("{}=", "x".repeat(42)),
        ] {
            assert!(RandomToken::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(
            sha256_base64url("abc"),
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
        );
        assert_eq!(hex(&Sha256::digest(b"abc"))[..8], *"ba7816bf");
    }
}
