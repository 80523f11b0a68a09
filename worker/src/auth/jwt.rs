//! The user's token (RFC 7519, RFC 7515): what may be read before the signature is verified, and the claims that are checked after it.
//!
//! Headers that name a key by URL or contain one (`jku`, `x5u`, `jwk`; RFC 8725, 3.10) are ignored: keys come from the settings or from the
//! project's JWKS.

use crate::error::{ClientError, Result};
use crate::ids::UserId;
use crate::json;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

/// The accepted algorithms. `none` and every other is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, keyed with the project's JWT secret.
    Hs256,
    /// ECDSA on P-256, keyed from the JWKS.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256, keyed from the JWKS.
    Rs256,
}

impl Algorithm {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }
}

/// A token whose signature is not verified yet. Its claims are private until then.
#[derive(Debug)]
pub struct Unverified {
    pub algorithm: Algorithm,
    pub kid: Option<String>,
    pub signature: Vec<u8>,
    /// The length of the signed part, in bytes.
    pub signed: usize,
    claims: Claims,
}

/// A user, from a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The claim `sub`.
    pub id: UserId,
    /// For the page only.
    pub email: Option<String>,
    /// Seconds since the epoch.
    pub expires_at: i64,
}

#[derive(Deserialize, Debug)]
struct Claims {
    iss: Option<String>,
    aud: Option<Audience>,
    role: Option<String>,
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    email: Option<String>,
    #[serde(default, deserialize_with = "json::given")]
    is_anonymous: Option<bool>,
}

/// A string or a list of strings (RFC 7519, 4.1.3).
#[derive(Deserialize, Debug)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// In bytes.
const TOKEN_MAX: usize = 8 * 1024;
/// In bytes.
const KID_MAX: usize = 128;
/// The tolerated clock difference, in seconds (RFC 7519, 4.1.4).
const LEEWAY: f64 = 30.0;

impl Unverified {
    pub fn parse(token: &str) -> Result<Self> {
        Self::read(token).ok_or(ClientError::Unauthorized.into())
    }

    fn read(token: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
            crit: Option<Value>,
        }
        fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
            let json = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
            // Read from a str like all other JSON here: reading from bytes would compile a second copy of the parser.
            json::parse_untrusted(str::from_utf8(&json).ok()?)
        }
        if token.len() > TOKEN_MAX {
            return None;
        }
        let mut parts = token.split('.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || signature.is_empty() {
            return None;
        }
        let signed = header.len() + 1 + claims.len();
        // Base64url without padding, in its one canonical form (RFC 7515, 2; RFC 4648, 3.5).
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header: Header = part(header)?;
        // A critical extension that this worker does not know (RFC 7515, 4.1.11).
        if header.crit.is_some() || header.kid.as_ref().is_some_and(|kid| kid.len() > KID_MAX) {
            return None;
        }
        Some(Self {
            algorithm: Algorithm::parse(&header.alg)?,
            kid: header.kid,
            claims: part(claims)?,
            signature,
            signed,
        })
    }

    /// The user of a token whose signature is verified. `iss`, `aud`, `role`, `exp` and `sub` are required, so the anon key, the service key and an
    /// anonymous sign-in, all validly signed, are not accepted as users.
    ///
    /// `now` is seconds since the epoch.
    pub fn user(self, issuer: &str, now: i64) -> Result<User> {
        self.read_user(issuer, now)
            .ok_or(ClientError::Unauthorized.into())
    }

    fn read_user(self, issuer: &str, now: i64) -> Option<User> {
        const AUTHENTICATED: &str = "authenticated";
        let claims = self.claims;
        let audience = match claims.aud? {
            Audience::One(audience) => audience == AUTHENTICATED,
            Audience::Many(audiences) => audiences.iter().any(|one| one == AUTHENTICATED),
        };
        let exp = claims.exp?;
        let now = now as f64;
        let started = |moment: Option<f64>| moment.is_none_or(|moment| moment <= now + LEEWAY);
        let right = audience
            && exp + LEEWAY > now
            && claims.iss.as_deref() == Some(issuer)
            && claims.role.as_deref() == Some(AUTHENTICATED)
            && !claims.is_anonymous.unwrap_or_default()
            && started(claims.nbf)
            && started(claims.iat);
        let id = claims
            .sub
            .filter(|sub| sub.len() == 36)
            .and_then(|sub| Uuid::try_parse(&sub).ok())
            .filter(|id| !id.is_nil())?;
        right.then_some(User {
            id: UserId(id),
            email: claims.email,
            expires_at: exp as i64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://p.supabase.co/auth/v1";
    const NOW: i64 = 1_000_000;

    fn token(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    fn claims() -> Value {
        json!({"iss": ISSUER, "aud": "authenticated", "role": "authenticated", "exp": NOW + 60,
               "sub": "67e55044-10b1-426f-9247-bb680e5fe0c8", "email": "a@example.com"})
    }

    fn user(claims: &Value) -> Result<User> {
        Unverified::parse(&token(&json!({"alg": "HS256"}), claims))?.user(ISSUER, NOW)
    }

    #[test]
    fn a_users_token_is_a_user() {
        let user = user(&claims()).unwrap();
        assert_eq!(user.id.to_string(), "67e55044-10b1-426f-9247-bb680e5fe0c8");
        let mut list = claims();
        list["aud"] = json!(["x", "authenticated"]);
        assert!(super::tests::user(&list).is_ok());
    }

    // threat model 13, 14
    #[test]
    fn a_claim_that_is_wrong_or_absent_is_no_user() {
        for (name, value) in [
            ("iss", json!("https://evil.example/auth/v1")),
            ("aud", json!("anon")),
            ("aud", json!(["anon"])),
            ("role", json!("anon")),
            ("role", json!("service_role")),
            ("exp", json!(NOW - 31)),
            ("exp", json!("soon")),
            ("exp", json!(-1)),
            ("exp", json!(999_969.9)),
            ("nbf", json!(1_000_030.5)),
            ("is_anonymous", Value::Null),
            ("nbf", json!(NOW + 31)),
            ("iat", json!(NOW + 31)),
            ("sub", json!("x")),
            ("sub", json!("67e5504410b1426f9247bb680e5fe0c8")),
            ("sub", json!("00000000-0000-0000-0000-000000000000")),
            ("is_anonymous", json!(true)),
        ] {
            let mut wrong = claims();
            wrong[name] = value.clone();
            assert!(user(&wrong).is_err(), "{name} = {value}");
        }
        for name in ["iss", "aud", "role", "exp", "sub"] {
            let mut without = claims();
            without.as_object_mut().unwrap().remove(name);
            assert!(user(&without).is_err(), "without {name}");
        }
    }

    #[test]
    fn clocks_may_differ_by_half_a_minute() {
        let mut late = claims();
        late["exp"] = json!(NOW - 29);
        late["nbf"] = json!(NOW + 29);
        assert!(user(&late).is_ok());
        late["exp"] = json!(1_000_000.5);
        late["nbf"] = json!(1_000_029.5);
        assert!(user(&late).is_ok());
    }

    // threat model 12
    #[test]
    fn an_algorithm_that_is_not_ours_is_refused_before_any_key_is_sought() {
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "None"}),
            json!({"alg": "HS384"}),
            json!({"alg": "ES256K"}),
            json!({}),
            json!({"alg": "HS256", "crit": ["b64"]}),
            json!({"alg": "ES256", "kid": "k".repeat(KID_MAX + 1)}),
        ] {
            assert!(
                Unverified::parse(&token(&header, &claims())).is_err(),
                "{header}"
            );
        }
        let named = token(
            &json!({"alg": "ES256", "kid": "a", "jku": "https://evil.example", "jwk": {}}),
            &claims(),
        );
        assert_eq!(Unverified::parse(&named).unwrap().kid.as_deref(), Some("a"));
    }

    #[test]
    fn what_has_not_three_parts_is_no_token() {
        let good = token(&json!({"alg": "HS256"}), &claims());
        for wrong in [
            "",
            "a",
            "a.b",
            "a.b.c",
            "..",
            &good[..good.len() - 4],
            &format!("{good}.x"),
            &"x".repeat(TOKEN_MAX + 1),
        ] {
            assert!(Unverified::parse(wrong).is_err(), "{wrong:.60}");
        }
    }

    // threat model 101, 113, 114, 125
    #[test]
    fn a_signature_that_is_not_canonical_base64url_is_refused() {
        let good = token(&json!({"alg": "HS256"}), &claims());
        let unsigned = good.strip_suffix("c2ln").unwrap();
        let parsed = Unverified::parse(&good).unwrap();
        assert_eq!(
            (parsed.signature.as_slice(), parsed.signed),
            (&b"sig"[..], unsigned.len() - 1)
        );
        for signature in [
            "*", "A", "sig=", "c2ln=", "c2l=", "c2lnYQ==", "c2 ln", " c2ln", "c2l+", "c2l/",
            "c2lnYR", "c2ln\n",
        ] {
            assert!(
                Unverified::parse(&format!("{unsigned}{signature}")).is_err(),
                "{signature:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,100}") {
            let _ = Unverified::parse(&text);
        }
    }
}
