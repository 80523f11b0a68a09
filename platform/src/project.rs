//! A Supabase project: its API keys, and the requests that carry them.

use crate::http::HttpRequest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sealed::Secret;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `anon`, or a publishable key.
    Anon,
    /// `service_role`, or a secret key.
    Service,
}

#[derive(Debug)]
pub enum ApiKey {
    /// `sb_publishable_…` or `sb_secret_…`: sent in `apikey` only.
    Opaque(Secret),
    /// The old kind, an HS256 token: sent in `apikey`, and in `Authorization` if no user's token is.
    Jwt(Secret),
}

impl ApiKey {
    /// Checks that the key is for this role, so that a swapped pair is noticed at once.
    pub fn parse(text: String, role: Role) -> Option<Self> {
        if text.starts_with("sb_") {
            let prefix = match role {
                Role::Anon => "sb_publishable_",
                Role::Service => "sb_secret_",
            };
            return text.starts_with(prefix).then(|| Self::Opaque(text.into()));
        }
        let payload = BASE64_URL_SAFE_NO_PAD
            .decode(text.split('.').nth(1)?)
            .ok()?;
        let claims: Value = serde_json::from_str(str::from_utf8(&payload).ok()?).ok()?;
        let expected = match role {
            Role::Anon => "anon",
            Role::Service => "service_role",
        };
        (claims.get("role")? == expected).then(|| Self::Jwt(text.into()))
    }

    pub fn expose(&self) -> &str {
        match self {
            Self::Opaque(key) | Self::Jwt(key) => key.expose(),
        }
    }
}

/// For a whole request to Supabase, in milliseconds.
const TIMEOUT_MS: u32 = 8_000;
/// The most bytes of an answer: a list of 1,000 rows, or a config.
const LIMIT: u32 = 2 * 1024 * 1024;

/// Builds a request to the project at `origin` with a key, and with the user's token if there is one.
pub fn request(
    origin: &str,
    method: &'static str,
    path: &str,
    key: &ApiKey,
    user_token: Option<&str>,
    body: Option<String>,
) -> HttpRequest {
    let mut headers = vec![
        ("apikey", key.expose().to_owned()),
        ("accept", "application/json".to_owned()),
    ];
    match (user_token, key) {
        (Some(token), _) => headers.push(("authorization", format!("Bearer {token}"))),
        (None, ApiKey::Jwt(key)) => {
            headers.push(("authorization", format!("Bearer {}", key.expose())))
        }
        (None, ApiKey::Opaque(_)) => {}
    }
    if body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    HttpRequest {
        method,
        url: format!("{origin}{path}"),
        headers,
        body,
        timeout_ms: TIMEOUT_MS,
        limit: LIMIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        format!("e30.{}.x", BASE64_URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn a_key_is_of_its_role_or_refused() {
        assert!(matches!(
            ApiKey::parse("sb_publishable_a".into(), Role::Anon),
            Some(ApiKey::Opaque(_))
        ));
        assert!(matches!(
            ApiKey::parse(jwt(r#"{"role":"service_role"}"#), Role::Service),
            Some(ApiKey::Jwt(_))
        ));
        assert!(ApiKey::parse("sb_secret_a".into(), Role::Anon).is_none());
        assert!(ApiKey::parse(jwt(r#"{"role":"anon"}"#), Role::Service).is_none());
        assert!(ApiKey::parse("whatever".into(), Role::Anon).is_none());
    }

    #[test]
    fn an_opaque_key_goes_in_apikey_only_and_a_users_token_wins() {
        let anon_key = ApiKey::Opaque("sb_publishable_a".to_owned().into());
        let service_key = ApiKey::Jwt("jwt".to_owned().into());
        let authorization = |key, token| {
            request("https://p.supabase.co", "GET", "/x", key, token, None)
                .headers
                .into_iter()
                .find(|(name, _)| *name == "authorization")
                .map(|(_, value)| value)
        };
        assert_eq!(authorization(&anon_key, None), None);
        assert_eq!(
            authorization(&anon_key, Some("t")).as_deref(),
            Some("Bearer t")
        );
        assert_eq!(
            authorization(&service_key, None).as_deref(),
            Some("Bearer jwt")
        );
    }
}
