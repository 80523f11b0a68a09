//! Supabase, as pairs of plain functions: build the request, read the response.
//!
//! The service key is used for the database's functions only; what a user sees is asked for with the user's own token, so that
//! row level security decides.

use crate::error::{DatabaseFault, Error};
use crate::http::{HttpRequest, SendError};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sealed::Secret;
use serde_json::Value;

/// A Supabase project and the keys to it.
#[derive(Debug)]
pub struct Project {
    /// Its origin.
    pub url: String,
    /// The key that goes with a user's token.
    pub anon_key: ApiKey,
    /// The key that passes row level security.
    pub service_key: ApiKey,
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `anon`, or a publishable key.
    Anon,
    /// `service_role`, or a secret key.
    Service,
}

/// An API key of either kind.
#[derive(Debug)]
pub enum ApiKey {
    /// `sb_publishable_…` or `sb_secret_…`: goes in `apikey` and nowhere else.
    Opaque(Secret),
    /// The old kind, an HS256 token: goes in `apikey` and, where no user's token does, in `Authorization`.
    Jwt(Secret),
}

impl ApiKey {
    /// Reads a key and checks that it is one for this role, so that a swapped pair is noticed at once.
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

    /// The key itself.
    pub fn expose(&self) -> &str {
        match self {
            Self::Opaque(key) | Self::Jwt(key) => key.expose(),
        }
    }
}

/// How long Supabase may take, in milliseconds.
const TIMEOUT_MS: u32 = 8_000;
/// How large its answers may be: a list of 1,000 rows, or a config.
const LIMIT: u32 = 2 * 1024 * 1024;

impl Project {
    /// A request with a key, and with the user's token where there is one.
    pub fn request(
        &self,
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
            url: format!("{}{path}", self.url),
            headers,
            body,
            timeout_ms: TIMEOUT_MS,
            limit: LIMIT,
        }
    }
}

/// The rotation's fence refuses a write of another key (docs/database.md): a deployment that is behind, so trying again helps.
const FENCED: &str = "IK001";

impl Error {
    /// Supabase gave no answer.
    pub fn no_answer(what: &str, error: SendError) -> Self {
        let (fault, how) = match error {
            SendError::Timeout => (DatabaseFault::Timeout, "did not answer in time"),
            SendError::Network => (
                DatabaseFault::Unavailable,
                "could not be reached, or broke off",
            ),
            SendError::TooLarge => (
                DatabaseFault::InvalidResponse,
                "answered more than the limit",
            ),
        };
        Self::Database {
            fault,
            detail: format!("{what}: Supabase {how}"),
        }
    }

    /// Supabase gave an answer that is an error. PostgREST's code says which (`42501`: a right is missing); its message
    /// may quote data and is left out.
    pub fn refused(what: &str, status: u16, body: &str) -> Self {
        let fault: Value = serde_json::from_str(body).unwrap_or_default();
        let code = fault.get("code").and_then(Value::as_str);
        let code: String = code
            .unwrap_or_default()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(16)
            .collect();
        let hint = match code.as_str() {
            "42501" => {
                " (Row level security policy violation, or a missing grant: were all migrations applied?)"
            }
            "PGRST202" | "42883" => " (the function does not exist: were all migrations applied?)",
            FENCED => {
                " (the key that sealed this was rotated out: deploy the worker with the new ENCRYPTION_KEY)"
            }
            _ if status == 401 => " (is the key the project's?)",
            _ => "",
        };
        let fault = if status >= 500 || code == FENCED {
            DatabaseFault::Unavailable
        } else {
            DatabaseFault::InvalidResponse
        };
        Self::Database {
            fault,
            detail: format!("{what}: Supabase answered {status} {code}{hint}"),
        }
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
        let project = Project {
            url: "https://p.supabase.co".into(),
            anon_key: ApiKey::Opaque("sb_publishable_a".to_owned().into()),
            service_key: ApiKey::Jwt("jwt".to_owned().into()),
        };
        let authorization = |request: HttpRequest| {
            request
                .headers
                .into_iter()
                .find(|(name, _)| *name == "authorization")
                .map(|(_, value)| value)
        };
        assert_eq!(
            authorization(project.request("GET", "/x", &project.anon_key, None, None)),
            None
        );
        assert_eq!(
            authorization(project.request("GET", "/x", &project.anon_key, Some("t"), None))
                .as_deref(),
            Some("Bearer t")
        );
        assert_eq!(
            authorization(project.request("GET", "/x", &project.service_key, None, None))
                .as_deref(),
            Some("Bearer jwt")
        );
    }

    #[test]
    fn a_refusal_names_the_code_and_never_the_message() {
        let error = Error::refused(
            "list",
            403,
            r#"{"code":"42501","message":"planted","details":"planted"}"#,
        );
        let detail = error.detail().unwrap();
        assert!(
            detail.contains("42501")
                && detail.contains("Row level security policy violation")
                && !detail.contains("planted"),
            "{detail}"
        );
        let fenced = Error::refused("complete_connection", 400, r#"{"code":"IK001"}"#);
        assert_eq!(fenced.answer().0, 503);
        assert!(
            Error::refused("list", 500, "<html>")
                .detail()
                .unwrap()
                .contains("500")
        );
    }
}
