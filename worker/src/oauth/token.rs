//! The exchange of a code for tokens (RFC 6749, 4.1.3 and 5.1).

use super::Client;
use crate::error::{Error, Result};
use crate::http::{Inbound, Outbound, SendError};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sealed::Secret;
use serde::Deserialize;

/// What the provider granted.
pub struct Grant {
    /// The access token.
    pub access_token: Secret,
    /// What renews it, where the provider gives one.
    pub refresh_token: Option<Secret>,
    /// When the access token ends, where the provider says so.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The longest lifetime that is believed, in seconds: ten years.
const LIFETIME_MAX: f64 = 10.0 * 365.0 * 86_400.0;
/// The longest token that is stored, in bytes.
const TOKEN_MAX: usize = 16 * 1024;

/// Builds the token request (RFC 6749, 4.1.3; RFC 7636, 4.5).
pub fn request(client: &Client, code: &str, redirect_uri: &str, verifier: &str) -> Outbound {
    client.form_request(
        &client.provider.token_url,
        &[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ],
    )
}

/// Reads the answer to a token request. Success is 200 (RFC 6749, 5.1) or, at Supabase, 201.
pub fn read(answer: Result<Inbound, SendError>, now: DateTime<Utc>) -> Result<Grant> {
    #[derive(Deserialize)]
    struct Body {
        access_token: String,
        token_type: Option<String>,
        refresh_token: Option<String>,
        expires_in: Option<f64>,
    }
    let answer = answer.map_err(|error| no_answer("token endpoint", error))?;
    if !matches!(answer.status, 200 | 201) {
        return Err(Error::Provider {
            detail: format!("token endpoint: answered {}", answer.status).into(),
        });
    }
    if !answer.is_json() {
        return Err(Error::provider("token endpoint: the answer is not JSON"));
    }
    let body: Body = serde_json::from_str(&answer.body).map_err(|_| {
        Error::provider(
            "token endpoint: the answer holds no access token, or a field of another type",
        )
    })?;
    if body
        .token_type
        .is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
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
    Ok(Grant {
        access_token: token(body.access_token)?,
        refresh_token: body.refresh_token.map(token).transpose()?,
        expires_at: body
            .expires_in
            .map(|seconds| expiry(seconds, now))
            .transpose()?,
    })
}

fn expiry(seconds: f64, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    if !(1.0..=LIFETIME_MAX).contains(&seconds) {
        return Err(Error::provider(
            "token endpoint: expires_in is out of range",
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within the range just checked"
    )]
    let seconds = TimeDelta::seconds(seconds as i64);
    Ok(now + seconds)
}

/// A moment as the source document writes it: `2025-12-08T10:30:00Z`.
pub fn timestamp(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A provider gave no answer.
pub(super) fn no_answer(what: &str, error: SendError) -> Error {
    let how = match error {
        SendError::Timeout => "did not answer in time",
        SendError::Network => "could not be reached, or broke off",
        SendError::TooLarge => "answered more than the limit",
    };
    Error::Provider {
        detail: format!("{what}: {how}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(status: u16, content_type: &str, body: &str) -> Result<Grant> {
        let now = DateTime::parse_from_rfc3339("2025-12-08T10:00:00Z")
            .unwrap()
            .to_utc();
        read(
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
            assert!(read(Err(error), DateTime::UNIX_EPOCH).is_err());
        }
    }
}
