//! Exchanges a code for tokens (RFC 6749, 4.1.3 and 5.1).

use crate::error::{Error, Result};
use crate::http::{HttpRequest, HttpResponse, SendError};
use crate::oauth::response::{body, find_member, is_success, no_answer};
use crate::oauth::{Account, Client, identity, scopes};
use catalogue::{Auth, Pkce, Provider, Source};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sealed::Secret;
use serde_json::Value;

/// A grant that the provider issued.
pub struct Grant {
    pub access_token: Secret,
    /// The refresh token, if there is one.
    pub refresh_token: Option<Secret>,
    /// When the access token expires, if the provider says so.
    pub expires_at: Option<DateTime<Utc>>,
    /// The scopes that the response names. None: it names none, so they are as requested (RFC 6749, 5.1). Empty: unknown.
    pub scopes: Option<Vec<String>>,
    /// The response's other members that are stored, by name.
    pub metadata: Vec<(String, String)>,
    /// The account, if the token response names it.
    pub account: Option<Account>,
}

/// The longest accepted lifetime, in seconds: ten years.
const LIFETIME_MAX: i64 = 10 * 365 * 86_400;
/// The longest accepted token, in bytes.
const TOKEN_MAX: usize = 16 * 1024;

/// The longest accepted metadata value, in bytes.
const KEPT_MAX: usize = 2 * 1024;

/// Builds the token request (RFC 6749, 4.1.3; RFC 7636, 4.5).
pub fn request(client: &Client, code: &str, redirect_uri: &str, verifier: &str) -> HttpRequest {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
    ];
    if client.provider.pkce == Pkce::S256 {
        fields.push(("code_verifier", verifier));
    }
    client.authenticated(&client.provider.token_url, &fields)
}

/// Builds the request for a token with client credentials (RFC 6749, 4.4.2).
pub fn client_credentials_request(client: &Client) -> HttpRequest {
    let provider = &client.provider;
    let scope = provider.scope();
    let mut fields = vec![("grant_type", "client_credentials")];
    if !scope.is_empty() {
        fields.push((&provider.scope_parameter, scope.as_str()));
    }
    let further = provider.token_parameters.iter();
    fields.extend(further.map(|(name, value)| (name.as_str(), value.as_str())));
    client.authenticated(&provider.token_url, &fields)
}

/// A token response that holds no usable grant.
#[derive(Debug)]
pub struct Unusable {
    pub error: Error,
    /// The tokens that the response holds anyway. They must be revoked.
    pub tokens: Option<Tokens>,
    /// The response's status; 0 without a response.
    pub status: u16,
}

#[derive(Debug)]
pub struct Tokens {
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
}

/// Reads a token response. Success is 200 (RFC 6749, 5.1) or, at Supabase, 201. A response with an access token is a grant: invalid optional
/// members count as absent.
pub fn read(
    provider: &Provider,
    answer: Result<HttpResponse, SendError>,
    now: DateTime<Utc>,
) -> Result<Grant, Unusable> {
    let unusable = |status, error| Unusable {
        error,
        tokens: None,
        status,
    };
    let answer = answer.map_err(|error| unusable(0, no_answer("token endpoint", error)))?;
    let status = answer.status;
    if !matches!(status, 200 | 201) {
        let detail = format!("token endpoint: answered {status}").into();
        return Err(unusable(status, Error::Provider { detail }));
    }
    let Some(body) = body(provider, &answer) else {
        let detail = "token endpoint: the answer is not encoded as it should be";
        let found = |name| find_member(&answer.body, name).map(Secret::from);
        return Err(Unusable {
            error: Error::provider(detail),
            tokens: found("access_token").map(|access_token| Tokens {
                access_token,
                refresh_token: found("refresh_token"),
            }),
            status,
        });
    };
    if !is_success(provider, &body) {
        let detail = "token endpoint: answered a failure";
        return Err(unusable(status, Error::provider(detail)));
    }
    // Slack returns the tokens of a refresh at the top.
    let tokens = body
        .pointer(&provider.token_response_path)
        .filter(|tokens| tokens.get("access_token").is_some())
        .unwrap_or(&body);
    grant(provider, &body, tokens, now).map_err(|(error, tokens)| Unusable {
        error,
        tokens,
        status,
    })
}

fn grant(
    provider: &Provider,
    body: &Value,
    tokens: &Value,
    now: DateTime<Utc>,
) -> Result<Grant, (Error, Option<Tokens>)> {
    let text = |name: &str| {
        let text = tokens.get(name)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let Some(access_token) = text("access_token").map(Secret::from) else {
        let detail = "token endpoint: the answer holds no access token";
        return Err((Error::provider(detail), None));
    };
    // A client that requests tokens for itself needs no refresh token (RFC 6749, 4.4.3).
    let refresh_token = text("refresh_token")
        .filter(|_| provider.auth == Auth::Oauth)
        .map(Secret::from);
    let fault = [Some(&access_token), refresh_token.as_ref()]
        .into_iter()
        .flatten()
        .any(|token| !is_usable(token.expose()))
        .then_some("token endpoint: a token that cannot be one");
    let kind = text("token_type");
    let fault = fault.or_else(|| {
        kind.is_some_and(|kind| !kind.eq_ignore_ascii_case(&provider.token_type))
            .then_some("token endpoint: the token's type is not Bearer")
    });
    if let Some(detail) = fault {
        let tokens = Tokens {
            access_token,
            refresh_token,
        };
        return Err((Error::provider(detail), Some(tokens)));
    }
    let lifetime = tokens.get("expires_in").and_then(lifetime);
    let lifetime = lifetime.or(provider.default_expires_in.map(i64::from));
    let metadata = provider.token_response_metadata.iter().filter_map(|name| {
        let value = body.get(name)?.as_str()?;
        is_storable(value).then(|| (name.clone(), value.to_owned()))
    });
    let named = provider.identity.from == Source::TokenResponse;
    Ok(Grant {
        access_token,
        refresh_token,
        expires_at: lifetime.map(|seconds| now + TimeDelta::seconds(seconds)),
        scopes: scopes::read(tokens.get("scope")),
        metadata: metadata.collect(),
        account: named
            .then(|| identity::account(&provider.identity, body))
            .flatten(),
    })
}

/// The characters that a header can carry (RFC 6750, 2.1, and a few more): no white space, no control characters.
pub fn is_usable(token: &str) -> bool {
    token.len() <= TOKEN_MAX && token.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether a member of the token response can be stored. PostgreSQL cannot store U+0000.
pub fn is_storable(value: &str) -> bool {
    value.len() <= KEPT_MAX && !value.contains('\0')
}

/// The seconds of `expires_in`. A form, and the JSON of some providers, has the number as text. Zero, a negative number and more than ten years
/// count as absent.
fn lifetime(value: &Value) -> Option<i64> {
    let seconds: f64 = match value {
        Value::String(text) => text.parse().ok()?,
        number => number.as_f64()?,
    };
    // The conversion saturates beyond i64, and makes 0 of NaN.
    Some(seconds as i64).filter(|seconds| (1..=LIFETIME_MAX).contains(seconds))
}

/// A time in the source document's format: `2025-12-08T10:30:00Z`.
pub fn timestamp(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::client::tests::client;

    fn grant(status: u16, content_type: &str, body: &str) -> Result<Grant, Unusable> {
        grant_of("supabase", status, content_type, body)
    }

    fn grant_of(
        kind: &str,
        status: u16,
        content_type: &str,
        body: &str,
    ) -> Result<Grant, Unusable> {
        let now = DateTime::parse_from_rfc3339("2025-12-08T10:00:00Z")
            .unwrap()
            .to_utc();
        read(
            &client(kind).provider,
            Ok(HttpResponse {
                status,
                content_type: content_type.into(),
                body: body.into(),
            }),
            now,
        )
    }

    #[test]
    fn a_grant_is_read_with_200_and_with_201() {
        let body =
            r#"{"access_token":"a","refresh_token":"r","expires_in":1800,"token_type":"bearer"}"#;
        for status in [200, 201] {
            let grant = grant(status, "application/json", body).unwrap();
            assert_eq!(grant.access_token.expose(), "a");
            assert_eq!(grant.refresh_token.unwrap().expose(), "r");
            assert_eq!(timestamp(grant.expires_at.unwrap()), "2025-12-08T10:30:00Z");
        }
        let minimal = grant(
            200,
            "application/json; charset=utf-8",
            r#"{"access_token":"a"}"#,
        )
        .unwrap();
        assert!(minimal.refresh_token.is_none() && minimal.expires_at.is_none());
    }

    // threat model 9
    #[test]
    fn whatever_is_no_grant_is_a_providers_fault() {
        let json = "application/json";
        for (status, content_type, body) in [
            (307, json, r#"{"access_token":"planted"}"#),
            (200, json, "<html>planted"),
            (200, json, "{}"),
            (200, json, r#"{"access_token":""}"#),
            (200, json, r#"{"access_token":"planted\n"}"#),
            (200, json, r#"{"access_token":["planted"]}"#),
            (
                200,
                json,
                r#"{"access_token":"planted","token_type":"mac"}"#,
            ),
            (
                200,
                json,
                r#"{"error":"invalid_grant","error_description":"planted"}"#,
            ),
            (
                400,
                json,
                r#"{"error":"invalid_grant","error_description":"planted"}"#,
            ),
            (500, json, "planted"),
        ] {
            match grant(status, content_type, body) {
                Err(Unusable {
                    error: Error::Provider { detail },
                    ..
                }) => assert!(!detail.contains("planted"), "{detail}"),
                _ => panic!("{status} {content_type} {body} was taken for a grant"),
            }
        }
        for error in [SendError::Timeout, SendError::Network, SendError::TooLarge] {
            assert!(read(&client("gitlab").provider, Err(error), DateTime::UNIX_EPOCH).is_err());
        }
    }

    // threat model 123
    #[test]
    fn an_answer_with_an_access_token_is_a_grant_however_odd_the_rest() {
        let json = "application/json";
        for (content_type, rest) in [
            (json, r#""refresh_token":"","expires_in":0"#),
            (
                json,
                r#""refresh_token":null,"expires_in":null,"token_type":null"#,
            ),
            (json, r#""refresh_token":7,"expires_in":[],"token_type":{}"#),
            (json, r#""expires_in":-1"#),
            (json, r#""expires_in":1e300"#),
            (json, r#""expires_in":"soon""#),
            (json, r#""x":"\ud800","y":1e400"#),
            ("text/plain", r#""x":1"#),
            ("", r#""x":1"#),
            ("text/html", r#""x":1"#),
        ] {
            let body = format!(r#"{{"access_token":"a",{rest}}}"#);
            let Ok(grant) = grant(200, content_type, &body) else {
                panic!("{content_type} {body} is no grant")
            };
            assert_eq!(grant.access_token.expose(), "a");
            assert!(
                grant.refresh_token.is_none() && grant.expires_at.is_none(),
                "{body}"
            );
        }
    }

    #[test]
    fn tokens_that_cannot_be_used_are_handed_out_to_be_revoked() {
        let long = "x".repeat(TOKEN_MAX + 1);
        for body in [
            r#"{"access_token":"planted","token_type":"mac","refresh_token":"r"}"#.to_owned(),
            r#"{"access_token":"planted\n","refresh_token":"r"}"#.to_owned(),
            format!(r#"{{"access_token":"planted","refresh_token":"r{long}"}}"#),
            r#"{"access_token":"planted","refresh_token":"r","cut":"#.to_owned(),
        ] {
            let Err(Unusable {
                tokens: Some(tokens),
                ..
            }) = grant(200, "application/json", &body)
            else {
                panic!("{body}: no tokens")
            };
            assert!(tokens.access_token.expose().starts_with("planted"));
            assert!(tokens.refresh_token.unwrap().expose().starts_with('r'));
        }
    }

    /// Threat model 124.
    #[test]
    fn a_kept_member_that_cannot_be_stored_is_absent() {
        let body = r#"{"access_token":"a","instance_url":"https://x\u0000"}"#;
        let granted = grant_of("salesforce", 200, "application/json", body);
        assert!(granted.is_ok_and(|grant| grant.metadata.is_empty()));
    }

    #[test]
    fn a_form_is_read_where_the_provider_answers_one() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let body = "access_token=a&expires_in=28800&refresh_token=r&scope=&token_type=bearer";
        let granted = grant_of("github", 200, form, body).unwrap();
        assert_eq!(granted.access_token.expose(), "a");
        assert_eq!(
            timestamp(granted.expires_at.unwrap()),
            "2025-12-08T18:00:00Z"
        );
        let error = "error=bad_verification_code&error_description=planted";
        for (kind, media, body) in [
            ("github", form, error),
            ("github", "application/json", "{}"),
            ("gitlab", form, body),
            ("gitlab", "application/json", body),
        ] {
            assert!(
                grant_of(kind, 200, media, body).is_err(),
                "{kind} {media} {body}"
            );
        }
    }

    #[test]
    fn tokens_are_found_where_the_entry_says_and_a_failure_is_one_with_status_200() {
        let json = "application/json";
        let body = r#"{"ok":true,"team":{"id":"T1","name":"Team"},"authed_user":{"access_token":"u","token_type":"user"}}"#;
        let granted = grant_of("slack", 200, json, body).unwrap();
        assert_eq!(granted.access_token.expose(), "u");
        assert_eq!(granted.account.unwrap().name, "Team");
        let refreshed = r#"{"ok":true,"access_token":"u2","token_type":"user","expires_in":43200}"#;
        assert_eq!(
            grant_of("slack", 200, json, refreshed)
                .unwrap()
                .access_token
                .expose(),
            "u2"
        );
        for failure in [
            body.replace("true", "false"),
            body.replace(r#""ok":true,"#, ""),
            body.replace("true", r#""true""#),
        ] {
            assert!(grant_of("slack", 200, json, &failure).is_err(), "{failure}");
        }
    }

    #[test]
    fn what_nobody_can_do_without_is_kept_and_a_lifetime_is_assumed() {
        let body =
            r#"{"access_token":"a","instance_url":"https://example.my.salesforce.com","id":"x"}"#;
        let granted = grant_of("salesforce", 200, "application/json", body).unwrap();
        assert_eq!(
            granted.metadata,
            [(
                "instance_url".to_owned(),
                "https://example.my.salesforce.com".to_owned()
            )]
        );
        assert_eq!(
            timestamp(granted.expires_at.unwrap()),
            "2025-12-08T12:00:00Z"
        );
    }
}
