//! The project's public keys (RFC 7517): which of them can verify, and when to fetch them.
//!
//! A sender of tokens with made-up key ids must not make the worker ask Supabase each time, so an unknown id leads to one request per cool-down.
//! Requests that arrive during a fetch wait for it.

use crate::auth::jwt::Algorithm;
use crate::error::{Error, Result};
use crate::http::HttpResponse;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// How long keys are used before they are fetched again, in milliseconds. Supabase's own edge caches them as long.
const MAX_AGE_MS: f64 = 600_000.0;
/// The pause between two fetches for unknown key ids, in milliseconds.
const COOL_DOWN_MS: f64 = 30_000.0;
/// The pause after a failed fetch, in milliseconds. Until then no token can be verified.
const RETRY_MS: f64 = 1_000.0;
/// After this time, in milliseconds, a fetch counts as abandoned.
const UNDER_WAY_MS: f64 = 9_000.0;
/// The most keys that are read. A project has two or three.
const KEYS_MAX: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub struct Jwk {
    pub kid: String,
    pub algorithm: Algorithm,
    /// The JWK itself, for WebCrypto.
    pub json: String,
}

/// Reads a JWK set. It skips keys of other kinds, without an id, or for encryption, and above all symmetric ones: a public response
/// cannot hold a secret.
pub fn read(answer: &HttpResponse) -> Result<Vec<Jwk>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    #[derive(Deserialize)]
    struct Key {
        kty: String,
        crv: Option<String>,
        kid: Option<String>,
        r#use: Option<String>,
        alg: Option<String>,
        n: Option<String>,
    }
    if answer.status != 200 || !answer.is_json() {
        return Err(Error::refused("JWKS", answer.status, &answer.body));
    }
    let set: Set = serde_json::from_str(&answer.body)
        .map_err(|_| Error::database_answer("JWKS: not a JWK set"))?;
    let keys = set.keys.into_iter().take(KEYS_MAX).filter_map(|value| {
        let json = value.to_string();
        let key = Key::deserialize(value).ok()?;
        let algorithm = match (key.kty.as_str(), key.crv.as_deref()) {
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("RSA", _) if key.n.as_deref().is_some_and(is_long_enough) => Algorithm::Rs256,
            _ => return None,
        };
        let declared = key
            .alg
            .as_deref()
            .is_none_or(|name| Algorithm::parse(name) == Some(algorithm));
        let verifies = key.r#use.as_deref().is_none_or(|usage| usage == "sig");
        (declared && verifies).then_some(Jwk {
            kid: key.kid?,
            algorithm,
            json,
        })
    });
    Ok(keys.collect())
}

/// Whether an RSA modulus has at least 2048 bits (RFC 7518, 3.3).
fn is_long_enough(modulus: &str) -> bool {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(modulus).unwrap_or_default();
    let digits = bytes.iter().skip_while(|byte| **byte == 0).count();
    let first = bytes.iter().find(|byte| **byte != 0);
    digits > 256 || digits == 256 && first.is_some_and(|byte| *byte >= 0x80)
}

/// Times are milliseconds since the epoch.
#[derive(Debug, Default, Clone, Copy)]
pub struct Timing {
    pub fetched_at: Option<f64>,
    pub attempted_at: Option<f64>,
    pub under_way: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// A cached key has this id.
    Use,
    Fetch,
    /// Another request is fetching. Decide again after it.
    Wait,
    /// The cached keys are fresh, and none has this id.
    Refuse,
    /// There are no keys, and the last fetch has just failed.
    Unavailable,
}

impl Timing {
    /// `holds`: a cached key has the id. `now`: milliseconds since the epoch.
    pub fn decide(&self, holds: bool, now: f64) -> Decision {
        let within =
            |moment: Option<f64>, span: f64| moment.is_some_and(|moment| now - moment < span);
        let fresh = within(self.fetched_at, MAX_AGE_MS);
        let under_way = self.under_way && within(self.attempted_at, UNDER_WAY_MS);
        match (holds, fresh) {
            (true, true) => Decision::Use,
            // Stale keys still verify during a fetch, or while Supabase is down.
            (true, false) if under_way || within(self.attempted_at, COOL_DOWN_MS) => Decision::Use,
            (true, false) => Decision::Fetch,
            (false, _) if under_way => Decision::Wait,
            // The fetching request was cancelled.
            (false, _) if self.under_way => Decision::Fetch,
            // The last fetch failed, so nobody knows whether the project has this id. The token is not rejected for it.
            (false, _) if self.attempted_at > self.fetched_at => {
                if within(self.attempted_at, RETRY_MS) {
                    Decision::Unavailable
                } else {
                    Decision::Fetch
                }
            }
            (false, _) if within(self.attempted_at, COOL_DOWN_MS) => Decision::Refuse,
            (false, _) => Decision::Fetch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_verify_signatures_are_taken() {
        let body = r#"{"keys":[
            {"kty":"EC","crv":"P-256","kid":"a","x":"","y":"","alg":"ES256","use":"sig"},
            {"kty":"RSA","kid":"b","n":"2048 bits","e":"AQAB"},
            {"kty":"RSA","kid":"g","n":"512 bits","e":"AQAB"},
            {"kty":"RSA","kid":"h","n":"","e":"AQAB"},
            {"kty":"RSA","kid":"i","e":"AQAB"},
            {"kty":"oct","kid":"c","k":"cGxhbnRlZA"},
            {"kty":"EC","crv":"P-384","kid":"d"},
            {"kty":"EC","crv":"P-256","x":""},
            {"kty":"RSA","kid":"e","n":"2048 bits","use":"enc"},
            {"kty":"RSA","kid":"f","n":"2048 bits","alg":"HS256"}, 7]}"#
            .replace("2048 bits", &format!("{}w", "_".repeat(341)))
            .replace("512 bits", &format!("{}w", "_".repeat(85)));
        let body = body.as_str();
        let answer = HttpResponse {
            status: 200,
            content_type: "application/json".into(),
            body: body.into(),
        };
        let keys = read(&answer).unwrap();
        let found: Vec<_> = keys
            .iter()
            .map(|key| (key.kid.as_str(), key.algorithm))
            .collect();
        assert_eq!(found, [("a", Algorithm::Es256), ("b", Algorithm::Rs256)]);
        assert!(keys[0].json.contains(r#""kty":"EC""#));
        for (status, content_type, body) in [
            (200, "text/html", body),
            (500, "application/json", body),
            (200, "application/json", "[]"),
        ] {
            assert!(
                read(&HttpResponse {
                    status,
                    content_type: content_type.into(),
                    body: body.into()
                })
                .is_err()
            );
        }
    }

    // threat model 15
    #[test]
    fn a_thousand_unknown_ids_are_one_request_a_cool_down() {
        let mut timing = Timing::default();
        let mut fetches = 0;
        for step in 0..1000 {
            let now = f64::from(step) * 10.0;
            if timing.decide(false, now) == Decision::Fetch {
                fetches += 1;
                timing = Timing {
                    fetched_at: Some(now),
                    attempted_at: Some(now),
                    under_way: false,
                };
            }
        }
        assert_eq!(fetches, 1);
        assert_eq!(timing.decide(false, COOL_DOWN_MS + 1.0), Decision::Fetch);
    }

    #[test]
    fn those_who_come_meanwhile_wait_and_not_for_ever() {
        let timing = Timing {
            fetched_at: None,
            attempted_at: Some(0.0),
            under_way: true,
        };
        assert_eq!(timing.decide(false, 100.0), Decision::Wait);
        assert_eq!(timing.decide(false, UNDER_WAY_MS + 1.0), Decision::Fetch);
    }

    #[test]
    fn old_keys_are_renewed_and_used_while_supabase_is_down() {
        let old = Timing {
            fetched_at: Some(0.0),
            attempted_at: Some(0.0),
            under_way: false,
        };
        assert_eq!(old.decide(true, MAX_AGE_MS - 1.0), Decision::Use);
        assert_eq!(old.decide(true, MAX_AGE_MS + 1.0), Decision::Fetch);
        let failed = Timing {
            attempted_at: Some(MAX_AGE_MS),
            ..old
        };
        assert_eq!(failed.decide(true, MAX_AGE_MS + 1.0), Decision::Use);
        let never = Timing {
            fetched_at: None,
            attempted_at: Some(0.0),
            under_way: false,
        };
        assert_eq!(never.decide(false, 1.0), Decision::Unavailable);
        assert_eq!(never.decide(false, RETRY_MS + 1.0), Decision::Fetch);
    }

    #[test]
    fn a_new_key_is_no_stranger_while_it_cannot_be_fetched() {
        let failed = Timing {
            fetched_at: Some(0.0),
            attempted_at: Some(COOL_DOWN_MS + 1.0),
            under_way: false,
        };
        assert_eq!(
            failed.decide(false, COOL_DOWN_MS + 2.0),
            Decision::Unavailable
        );
        assert_eq!(
            failed.decide(false, COOL_DOWN_MS + 2.0 + RETRY_MS),
            Decision::Fetch
        );
    }
}
