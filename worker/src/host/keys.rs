//! The keys that verify tokens, imported into WebCrypto once and kept in the isolate.

use super::jobs::Promised;
use super::{glue, now_ms, now_seconds, pause};
use crate::error::{DatabaseFault, Error, Refusal, Result};
use crate::session::jwks::{self, Decision, Timing};
use crate::session::jwt::{Algorithm, Unverified, User};
use crate::settings::Settings;
use crate::supabase::auth;
use std::cell::RefCell;
use wasm_bindgen::JsValue;

#[derive(Default)]
struct Cache {
    hmac: Option<JsValue>,
    public: Vec<(String, Algorithm, JsValue)>,
    timing: Timing,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// How often a request looks whether another one has fetched the keys, in milliseconds.
const POLL_MS: u32 = 25;

/// The user whose token this is.
pub async fn verify(settings: &Settings, token: &str) -> Result<User> {
    let unverified = Unverified::parse(token)?;
    let algorithm = unverified.algorithm;
    let key = match algorithm {
        Algorithm::Hs256 => hmac(settings).await?,
        Algorithm::Es256 | Algorithm::Rs256 => {
            let kid = unverified.kid.as_deref().ok_or(Refusal::Unauthorized)?;
            public(settings, kid, algorithm).await?
        }
    };
    let (signature, signed) = (&unverified.signature, &token[..unverified.signed]);
    let genuine = Promised(glue::verify(algorithm as u8, &key, signature, signed))
        .await
        .is_ok_and(|genuine| genuine.is_truthy());
    if !genuine {
        return Err(Refusal::Unauthorized.into());
    }
    unverified.user(&settings.jwt_issuer, now_seconds())
}

async fn hmac(settings: &Settings) -> Result<JsValue> {
    if let Some(key) = CACHE.with_borrow(|cache| cache.hmac.clone()) {
        return Ok(key);
    }
    let secret = settings.jwt_secret.as_ref().ok_or(Refusal::Unauthorized)?;
    let key = import(Algorithm::Hs256, Some(secret.expose()), None).await?;
    CACHE.with_borrow_mut(|cache| cache.hmac = Some(key.clone()));
    Ok(key)
}

async fn public(settings: &Settings, kid: &str, algorithm: Algorithm) -> Result<JsValue> {
    loop {
        let (found, timing) = CACHE.with_borrow(|cache| {
            let found = cache
                .public
                .iter()
                .find(|(known, kind, _)| known == kid && *kind == algorithm);
            (found.map(|(_, _, key)| key.clone()), cache.timing)
        });
        match (timing.decide(found.is_some(), now_ms()), found) {
            (Decision::Use, Some(key)) => return Ok(key),
            (Decision::Use | Decision::Refuse, _) => return Err(Refusal::Unauthorized.into()),
            (Decision::Unavailable, _) => {
                let detail = "JWKS: Supabase could not be reached a moment ago".to_owned();
                return Err(Error::Database {
                    fault: DatabaseFault::Unavailable,
                    detail,
                });
            }
            (Decision::Wait, _) => pause(POLL_MS).await,
            (Decision::Fetch, held) => match (refresh(settings).await, held) {
                (Ok(()), _) => {}
                // The key at hand is old, and Supabase is down: better old than nobody signed in.
                (Err(_), Some(key)) => return Ok(key),
                (Err(error), None) => return Err(error),
            },
        }
    }
}

async fn refresh(settings: &Settings) -> Result<()> {
    CACHE.with_borrow_mut(|cache| {
        cache.timing.attempted_at = Some(now_ms());
        cache.timing.under_way = true;
    });
    let fetched = fetch(settings).await;
    CACHE.with_borrow_mut(|cache| {
        cache.timing.under_way = false;
        cache.public = fetched?;
        cache.timing.fetched_at = Some(now_ms());
        Ok(())
    })
}

async fn fetch(settings: &Settings) -> Result<Vec<(String, Algorithm, JsValue)>> {
    let answer = super::fetch(&auth::jwks_request(&settings.supabase))
        .await
        .map_err(|error| Error::no_answer("JWKS", error))?;
    let mut keys = Vec::new();
    for jwk in jwks::read(&answer)? {
        // A key that WebCrypto does not take verifies nothing; the others still do.
        if let Ok(key) = import(jwk.algorithm, None, Some(&jwk.json)).await {
            keys.push((jwk.kid, jwk.algorithm, key));
        }
    }
    Ok(keys)
}

async fn import(algorithm: Algorithm, secret: Option<&str>, jwk: Option<&str>) -> Result<JsValue> {
    let key = Promised(glue::import_key(algorithm as u8, secret, jwk)).await;
    key.map_err(|_| Error::Us {
        detail: "a key that verifies tokens cannot be imported".to_owned(),
    })
}
