//! Signature keys in WebCrypto.

use crate::auth::jwt::Algorithm;
use crate::error::{Error, Result};
use crate::host::glue;
use crate::host::jobs::Promised;
use wasm_bindgen::JsValue;

/// A key that verifies signatures.
#[derive(Clone)]
pub struct VerifyingKey(JsValue);

impl VerifyingKey {
    /// From the bytes of a shared secret.
    pub async fn of_secret(algorithm: Algorithm, secret: &str) -> Result<Self> {
        import(algorithm, Some(secret), None).await
    }

    /// From a JWK, whose private part is left out.
    pub async fn of_jwk(algorithm: Algorithm, jwk: &str) -> Result<Self> {
        import(algorithm, None, Some(jwk)).await
    }

    /// Whether a signature is by this key (RFC 7515, 5.2).
    pub async fn verifies(&self, algorithm: Algorithm, signature: &[u8], signed: &str) -> bool {
        let signed = signed.as_bytes();
        Promised(glue::verify(algorithm as u8, &self.0, signature, signed))
            .await
            .is_ok_and(|genuine| genuine.is_truthy())
    }
}

async fn import(
    algorithm: Algorithm,
    secret: Option<&str>,
    jwk: Option<&str>,
) -> Result<VerifyingKey> {
    let key = Promised(glue::import_key(algorithm as u8, secret, jwk)).await;
    key.map(VerifyingKey).map_err(|_| Error::Internal {
        detail: "a key that verifies tokens cannot be imported".to_owned(),
    })
}
