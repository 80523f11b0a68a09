//! Verifies tokens. The keys are imported into WebCrypto once per isolate.

use crate::auth::jwks::{self, Decision, Timing};
use crate::auth::jwt::{Algorithm, Unverified, User};
use crate::auth::supabase;
use crate::error::{ClientError, DatabaseFault, Error, Result};
use crate::host::webcrypto::VerifyingKey;
use crate::host::{self, now_ms, now_seconds, sleep};
use crate::settings::Settings;
use std::cell::RefCell;

#[derive(Default)]
struct Cache {
    hmac: Option<VerifyingKey>,
    public: Vec<(String, Algorithm, VerifyingKey)>,
    timing: Timing,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// How often a waiting request checks whether the keys have arrived, in milliseconds.
const POLL_MS: u32 = 25;

pub async fn verify(settings: &Settings, token: &str) -> Result<User> {
    let unverified = Unverified::parse(token)?;
    let algorithm = unverified.algorithm;
    let key = match algorithm {
        Algorithm::Hs256 => hmac(settings).await?,
        Algorithm::Es256 | Algorithm::Rs256 => {
            let kid = unverified.kid.as_deref().ok_or(ClientError::Unauthorized)?;
            public(settings, kid, algorithm).await?
        }
    };
    let (signature, signed) = (&unverified.signature, &token[..unverified.signed]);
    if !key.verifies(algorithm, signature, signed).await {
        return Err(ClientError::Unauthorized.into());
    }
    unverified.user(&settings.jwt_issuer, now_seconds())
}

async fn hmac(settings: &Settings) -> Result<VerifyingKey> {
    if let Some(key) = CACHE.with_borrow(|cache| cache.hmac.clone()) {
        return Ok(key);
    }
    let secret = settings
        .jwt_secret
        .as_ref()
        .ok_or(ClientError::Unauthorized)?;
    let key = VerifyingKey::of_secret(Algorithm::Hs256, secret.expose()).await?;
    CACHE.with_borrow_mut(|cache| cache.hmac = Some(key.clone()));
    Ok(key)
}

async fn public(settings: &Settings, kid: &str, algorithm: Algorithm) -> Result<VerifyingKey> {
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
            (Decision::Use | Decision::Refuse, _) => return Err(ClientError::Unauthorized.into()),
            (Decision::Unavailable, _) => {
                let detail = "JWKS: Supabase could not be reached a moment ago".to_owned();
                return Err(Error::Database {
                    fault: DatabaseFault::Unavailable,
                    detail,
                });
            }
            (Decision::Wait, _) => sleep(POLL_MS).await,
            (Decision::Fetch, held) => match (refresh(settings).await, held) {
                (Ok(()), _) => {}
                // Supabase is down. An old key is better than no sign-in at all.
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

async fn fetch(settings: &Settings) -> Result<Vec<(String, Algorithm, VerifyingKey)>> {
    let answer = host::fetch(&supabase::jwks_request(&settings.supabase))
        .await
        .map_err(|error| Error::no_answer("JWKS", error))?;
    let mut keys = Vec::new();
    for jwk in jwks::read(&answer)? {
        // A key that WebCrypto rejects is skipped.
        if let Ok(key) = VerifyingKey::of_jwk(jwk.algorithm, &jwk.json).await {
            keys.push((jwk.kid, jwk.algorithm, key));
        }
    }
    Ok(keys)
}
