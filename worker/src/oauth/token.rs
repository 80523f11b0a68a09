//! The exchange of a code for tokens (RFC 6749, 4.1.3 and 5.1).

use super::answer::{body, is_success, no_answer};
use super::{Account, Client, identity};
use crate::error::{Error, Result};
use crate::http::{Inbound, Outbound, SendError};
use crate::json::{Read, object};
use crate::providers::{Auth, Pkce, Provider, Source};
use crate::seconds::Seconds;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sealed::Secret;
use serde_json::Value;

/// What the provider granted.
pub struct Grant {
    /// The access token.
    pub access_token: Secret,
    /// What renews it, where the provider gives one.
    pub refresh_token: Option<Secret>,
    /// When the access token ends, where the provider says so.
    pub expires_at: Option<DateTime<Utc>>,
    /// What else of the answer is stored, by name.
    pub kept: Vec<(String, String)>,
    /// The account, where the provider names it in the very same answer.
    pub account: Option<Account>,
}

/// The longest lifetime that is believed, in seconds: ten years.
const LIFETIME_MAX: i64 = 10 * 365 * 86_400;
/// The longest token that is stored, in bytes.
const TOKEN_MAX: usize = 16 * 1024;

/// The longest further field that is stored, in bytes.
const KEPT_MAX: usize = 2 * 1024;

/// Builds the token request (RFC 6749, 4.1.3; RFC 7636, 4.5).
pub fn request(client: &Client, code: &str, redirect_uri: &str, verifier: &str) -> Outbound {
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

/// Builds the request for a token of the client's own (RFC 6749, 4.4.2).
pub fn own_request(client: &Client) -> Outbound {
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

/// Reads the answer to a token request. Success is 200 (RFC 6749, 5.1) or, at Supabase, 201.
pub fn read(
    provider: &Provider,
    answer: Result<Inbound, SendError>,
    now: DateTime<Utc>,
) -> Result<Grant> {
    let answer = answer.map_err(|error| no_answer("token endpoint", error))?;
    if !matches!(answer.status, 200 | 201) {
        return Err(Error::Provider {
            detail: format!("token endpoint: answered {}", answer.status).into(),
        });
    }
    let body = body(provider, &answer).ok_or_else(|| {
        Error::provider("token endpoint: the answer is not encoded as it should be")
    })?;
    if !is_success(provider, &body) {
        return Err(Error::provider("token endpoint: answered a failure"));
    }
    // Slack puts the tokens of a refresh at the top.
    let tokens = body
        .pointer(&provider.tokens_at)
        .filter(|tokens| tokens.get("access_token").is_some())
        .unwrap_or(&body);
    grant(provider, &body, tokens, now)
}

fn grant(provider: &Provider, body: &Value, tokens: &Value, now: DateTime<Utc>) -> Result<Grant> {
    object! {
        struct Tokens {
            access_token: String,
            token_type: Option<String>,
            refresh_token: Option<String>,
            expires_in: Option<Value>,
        }
    }
    let tokens = Tokens::read(tokens.clone()).map_err(|_| {
        Error::provider(
            "token endpoint: the answer holds no access token, or a field of another type",
        )
    })?;
    if tokens
        .token_type
        .is_some_and(|kind| !kind.eq_ignore_ascii_case(&provider.token_type))
    {
        return Err(Error::provider(
            "token endpoint: the token's type is not Bearer",
        ));
    }
    let token = |text: String| {
        // What a header can carry (RFC 6750, 2.1, and a little more): no white space, no control characters.
        let usable = !text.is_empty()
            && text.len() <= TOKEN_MAX
            && text.bytes().all(|b| b.is_ascii_graphic());
        if usable {
            Ok(Secret::from(text))
        } else {
            Err(Error::provider(
                "token endpoint: a token that cannot be one",
            ))
        }
    };
    let lifetime = match (&tokens.expires_in, provider.assumed_lifetime) {
        (Some(value), _) => Some(seconds(value)?),
        (None, assumed) => assumed.map(i64::from),
    };
    let kept = provider.kept.iter().filter_map(|name| {
        let value = body.get(name)?.as_str()?;
        (value.len() <= KEPT_MAX).then(|| (name.clone(), value.to_owned()))
    });
    let named = provider.identity.from == Source::TokenAnswer;
    // A client that gets tokens for itself needs none (RFC 6749, 4.4.3).
    let refresh_token = tokens
        .refresh_token
        .filter(|_| provider.auth == Auth::Oauth);
    Ok(Grant {
        access_token: token(tokens.access_token)?,
        refresh_token: refresh_token.map(token).transpose()?,
        expires_at: lifetime.map(|seconds| expiry(seconds, now)).transpose()?,
        kept: kept.collect(),
        account: named
            .then(|| identity::account(&provider.identity, body))
            .flatten(),
    })
}

/// A number; in a form, and at some providers in JSON, as text.
fn seconds(value: &Value) -> Result<i64> {
    let number = match value {
        Value::String(text) => Seconds::parse(text),
        number => Seconds::read(number.clone()).ok(),
    };
    number
        .map(|number| number.whole)
        .ok_or_else(|| Error::provider("token endpoint: expires_in is no number"))
}

fn expiry(seconds: i64, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    if !(1..=LIFETIME_MAX).contains(&seconds) {
        return Err(Error::provider(
            "token endpoint: expires_in is out of range",
        ));
    }
    Ok(now + TimeDelta::seconds(seconds))
}

/// A moment as the source document writes it: `2025-12-08T10:30:00Z`.
pub fn timestamp(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::client;

    fn grant(status: u16, content_type: &str, body: &str) -> Result<Grant> {
        grant_of("supabase", status, content_type, body)
    }

    fn grant_of(kind: &str, status: u16, content_type: &str, body: &str) -> Result<Grant> {
        let now = DateTime::parse_from_rfc3339("2025-12-08T10:00:00Z")
            .unwrap()
            .to_utc();
        read(
            &client(kind).provider,
            Ok(Inbound {
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

    // attacks.md 9
    #[test]
    fn whatever_is_no_grant_is_a_providers_fault() {
        let json = "application/json";
        for (status, content_type, body) in [
            (307, json, r#"{"access_token":"planted"}"#),
            (200, "text/html", r#"{"access_token":"planted"}"#),
            (200, json, "<html>planted"),
            (200, json, "{}"),
            (200, json, r#"{"access_token":""}"#),
            (200, json, r#"{"access_token":"planted\n"}"#),
            (200, json, r#"{"access_token":["planted"]}"#),
            (200, json, r#"{"access_token":"planted","expires_in":-1}"#),
            (200, json, r#"{"access_token":"planted","expires_in":0}"#),
            (
                200,
                json,
                r#"{"access_token":"planted","expires_in":1e300}"#,
            ),
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
                Err(Error::Provider { detail }) => assert!(!detail.contains("planted"), "{detail}"),
                _ => panic!("{status} {content_type} {body} was taken for a grant"),
            }
        }
        for error in [SendError::Timeout, SendError::Network, SendError::TooLarge] {
            assert!(read(&client("gitlab").provider, Err(error), DateTime::UNIX_EPOCH).is_err());
        }
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
            granted.kept,
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
