//! The redemption of a refresh token (RFC 6749, 6), or another token for a client that gets them for itself (RFC 6749, 4.4).
//!
//! A refresh token may be good for one redemption only, and a provider that sees one twice may take it for stolen and end the grant
//! (RFC 9700, 4.14.2). So a redemption is sent once; whether it may be tried again later depends on what is known of its end.

use super::answer::body;
use super::{Client, Grant, token};
use crate::http::{Inbound, Outbound, SendError};
use crate::providers::{Auth, Provider};
use chrono::{DateTime, Utc};
use sealed::PlainConfig;

/// How a redemption ended.
pub enum Redemption {
    /// With fresh tokens.
    Granted(Grant),
    /// The provider has not redeemed the token, and may another time: too many requests, or our client is set up wrongly.
    Refused(String),
    /// Nobody knows: no answer, a failure within the provider, or an answer that cannot be read.
    Unsettled(String),
    /// The token is none any more (`invalid_grant`).
    InvalidGrant,
    /// The user's own client is none any more, or may not have tokens.
    InvalidClient,
}

/// Builds the request. No scope: the grant's own is kept. None where there is no refresh token.
pub fn request(client: &Client, config: &PlainConfig) -> Option<Outbound> {
    if client.provider.auth == Auth::ClientCredentials {
        return Some(token::own_request(client));
    }
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", config.get_str("refresh_token")?),
    ];
    Some(client.authenticated(&client.provider.token_url, &fields))
}

/// Reads the answer.
pub fn read(
    provider: &Provider,
    answer: Result<Inbound, SendError>,
    now: DateTime<Utc>,
) -> Redemption {
    let (status, said) = match &answer {
        Ok(answer) => (answer.status, said(provider, answer)),
        Err(_) => (0, None),
    };
    match said {
        Some(Said::InvalidGrant) => return Redemption::InvalidGrant,
        Some(Said::InvalidClient) => return Redemption::InvalidClient,
        Some(Said::Other) | None => {}
    }
    match token::read(provider, answer, now) {
        Ok(grant) => Redemption::Granted(grant),
        Err(unusable) => {
            let detail = unusable.error.detail().unwrap_or_default().to_owned();
            match (status, said) {
                // 503 says that the request was not taken up (RFC 9110, 15.6.4); any other failure may have come after the deed.
                (300..=499 | 503, _) | (200, Some(Said::Other)) => Redemption::Refused(detail),
                _ => Redemption::Unsettled(detail),
            }
        }
    }
}

/// An error in so many words (RFC 6749, 5.2), which some providers answer with status 200 or 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    InvalidGrant,
    InvalidClient,
    Other,
}

fn said(provider: &Provider, answer: &Inbound) -> Option<Said> {
    // GitHub and Slack have words of their own for `invalid_grant`.
    const INVALID_GRANT: [&str; 3] = [
        "invalid_grant",
        "bad_refresh_token",
        "invalid_refresh_token",
    ];
    // Of a client of the user's own. Auth0's word for a wrong secret is the last, with status 401 or 403.
    const INVALID_CLIENT: [&str; 3] = ["invalid_client", "unauthorized_client", "access_denied"];
    let is_own = provider.auth == Auth::ClientCredentials;
    if !(matches!(answer.status, 200 | 400 | 401) || is_own && answer.status == 403) {
        return None;
    }
    let body = body(provider, answer)?;
    let error = body.get("error")?.as_str()?;
    Some(match is_own {
        true if INVALID_CLIENT.contains(&error) => Said::InvalidClient,
        false if INVALID_GRANT.contains(&error) => Said::InvalidGrant,
        _ => Said::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::client;
    use crate::offer::Offer;
    use serde_json::{Value, json};

    fn config(fields: Value) -> PlainConfig {
        match fields {
            Value::Object(map) => PlainConfig::from_map(map),
            _ => panic!("no config"),
        }
    }

    fn end(status: u16, body: &str) -> Redemption {
        end_at("supabase", "application/json", status, body)
    }

    fn end_at(kind: &str, content_type: &str, status: u16, body: &str) -> Redemption {
        let answer = Inbound {
            status,
            content_type: content_type.into(),
            body: body.into(),
        };
        read(&client(kind).provider, Ok(answer), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn an_error_with_status_200_is_one_and_was_no_redemption() {
        let form = "application/x-www-form-urlencoded";
        for (kind, media, body) in [
            ("github", form, "error=bad_refresh_token&error_uri=x"),
            (
                "slack",
                "application/json",
                r#"{"ok":false,"error":"invalid_refresh_token"}"#,
            ),
        ] {
            let end = end_at(kind, media, 200, body);
            assert!(matches!(end, Redemption::InvalidGrant), "{kind}");
        }
        for (kind, media, body) in [
            ("github", form, "error=incorrect_client_credentials"),
            (
                "slack",
                "application/json",
                r#"{"ok":false,"error":"bad_client_secret"}"#,
            ),
        ] {
            let end = end_at(kind, media, 200, body);
            assert!(matches!(end, Redemption::Refused(_)), "{kind}");
        }
    }

    #[test]
    fn the_request_authenticates_as_the_exchange_does() {
        let config = config(json!({"refresh_token": "planted"}));
        let request = |kind| request(&client(kind), &config).unwrap();
        let basic = request("supabase");
        assert_eq!(
            basic.body.as_deref(),
            Some("grant_type=refresh_token&refresh_token=planted")
        );
        assert!(
            basic
                .headers
                .iter()
                .any(|(name, _)| *name == "authorization")
        );
        let post = request("gitlab").body.unwrap();
        assert!(post.starts_with("grant_type=refresh_token&refresh_token=planted&client_id="));
    }

    #[test]
    fn a_grant_may_leave_out_the_refresh_token() {
        let body = r#"{"access_token":"a","expires_in":60}"#;
        match end(201, body) {
            Redemption::Granted(grant) => assert!(grant.refresh_token.is_none()),
            _ => panic!("a grant was not taken for one"),
        }
    }

    #[test]
    fn only_the_providers_word_ends_a_grant() {
        for (status, body) in [
            (400, r#"{"error":"invalid_grant"}"#),
            (401, r#"{"error":"invalid_grant","error_description":"x"}"#),
            (200, r#"{"error":"bad_refresh_token"}"#),
        ] {
            assert!(matches!(end(status, body), Redemption::InvalidGrant));
        }
        for (status, body) in [
            (400, r#"{"error":"invalid_request"}"#),
            (400, r#"{"message":"invalid_grant"}"#),
            (401, r#"{"error":"invalid_client"}"#),
            (403, "invalid_grant"),
            (429, r#"{"error":"invalid_grant"}"#),
            (503, "{}"),
            (307, r#"{"access_token":"a"}"#),
        ] {
            assert!(
                matches!(end(status, body), Redemption::Refused(_)),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_client_of_the_users_own_gets_another_token() {
        let config = config(json!({
            "tenant": "acme.eu", "client_id": "id of client", "client_secret": "planted&", "access_token": "old"
        }));
        let of = |kind| Offer::Direct(client(kind).provider);
        let offer = of("auth0");
        let sent = request(&offer.client(&config).unwrap(), &config).unwrap();
        assert_eq!(sent.url, "https://acme.eu.auth0.com/oauth/token");
        assert_eq!(
            sent.body.as_deref(),
            Some(
                "grant_type=client_credentials&audience=https%3A%2F%2Facme.eu.auth0.com%2Fapi%2Fv2%2F\
                 &client_id=id+of+client&client_secret=planted%26"
            )
        );
        let offer = of("microsoft_app");
        let sent = request(&offer.client(&config).unwrap(), &config).unwrap();
        assert!(sent.body.unwrap().starts_with(
            "grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&"
        ));
        assert!(
            of("stripe").client(&config).is_none(),
            "a key has no tokens"
        );
    }

    #[test]
    fn a_client_that_is_refused_is_none_any_more() {
        let json = "application/json";
        for (status, error) in [
            (401, "invalid_client"),
            (400, "unauthorized_client"),
            (401, "access_denied"),
            (403, "access_denied"),
        ] {
            let body = format!(r#"{{"error":"{error}"}}"#);
            let own = end_at("auth0", json, status, &body);
            assert!(matches!(own, Redemption::InvalidClient), "{status} {error}");
            // Of ours it says that the settings are wrong, which ends nobody's grant.
            let ours = end_at("gitlab", json, status, &body);
            assert!(matches!(ours, Redemption::Refused(_)), "{status} {error}");
        }
        for (status, error) in [
            (400, "invalid_scope"),
            (429, "access_denied"),
            (400, "invalid_grant"),
        ] {
            let body = format!(r#"{{"error":"{error}"}}"#);
            let own = end_at("auth0", json, status, &body);
            assert!(matches!(own, Redemption::Refused(_)), "{status} {error}");
        }
    }

    #[test]
    fn what_may_have_been_redeemed_is_unsettled() {
        for (status, body) in [
            (500, r#"{"error":"invalid_grant"}"#),
            (502, "<html>"),
            (504, ""),
            (200, "{}"),
            (204, ""),
        ] {
            assert!(
                matches!(end(status, body), Redemption::Unsettled(_)),
                "{status} {body}"
            );
        }
        for error in [SendError::Timeout, SendError::Network, SendError::TooLarge] {
            assert!(matches!(
                read(
                    &client("supabase").provider,
                    Err(error),
                    DateTime::UNIX_EPOCH
                ),
                Redemption::Unsettled(_)
            ));
        }
    }
}
