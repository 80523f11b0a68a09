//! Redeems a refresh token (RFC 6749, 6), or requests another token with client credentials (RFC 6749, 4.4).
//!
//! A refresh token may work only once. A provider that sees it twice may treat it as stolen and end the grant (RFC 9700, 4.14.2). So a redemption
//! is sent once. Whether it may be retried later depends on its outcome.

use crate::http::{HttpRequest, HttpResponse, SendError};
use crate::oauth::response::body;
use crate::oauth::{Client, Grant, token};
use catalogue::{Auth, Provider, RefusedGrant};
use chrono::{DateTime, Utc};
use sealed::PlainConfig;
use serde_json::Value;

/// The outcome of a redemption.
pub enum Redemption {
    /// The provider returned fresh tokens.
    Granted(Grant),
    /// The provider has not redeemed the token, and may later: too many requests, or our client is misconfigured.
    Refused {
        /// The detail for the log.
        detail: String,
        /// The refusal, to compare with others. None if it says nothing about the token, as too many requests.
        refusal: Option<ClientError>,
    },
    /// Unknown: no response, a failure at the provider, or a response that cannot be read.
    OutcomeUnknown(String),
    /// The refresh token is no longer valid (`invalid_grant`).
    InvalidGrant,
    /// The user's own client is no longer valid, or may not request tokens.
    InvalidClient,
}

/// A refusal other than `invalid_grant`. If it repeats for long enough, the grant counts as ended.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientError {
    /// Its status and error code.
    pub alike: String,
    /// Whether the cause may be our client or the endpoint, so that every grant would be refused like this.
    pub may_be_ours: bool,
}

/// Builds the request. Without a scope, the grant keeps its own. None if there is no refresh token.
pub fn request(client: &Client, config: &PlainConfig) -> Option<HttpRequest> {
    if client.provider.auth == Auth::ClientCredentials {
        return Some(token::client_credentials_request(client));
    }
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", config.get_str("refresh_token")?),
    ];
    Some(client.authenticated(&client.provider.token_url, &fields))
}

/// Reads the response. If it contains a grant, nothing else in it matters.
pub fn read(
    provider: &Provider,
    answer: Result<HttpResponse, SendError>,
    now: DateTime<Utc>,
) -> Redemption {
    let (status, reported) = match &answer {
        Ok(answer) => (answer.status, reported_error(provider, answer)),
        Err(_) => (0, None),
    };
    let unusable = match token::read(provider, answer, now) {
        Ok(grant) => return Redemption::Granted(grant),
        Err(unusable) => unusable,
    };
    let detail = unusable.error.detail().unwrap_or_default().to_owned();
    match (&reported, status) {
        (Some(ReportedError::InvalidGrant), _) => Redemption::InvalidGrant,
        (Some(ReportedError::InvalidClient), _) => Redemption::InvalidClient,
        // 503 means that the request was not handled (RFC 9110, 15.6.4). Any other failure may have come after the redemption.
        (Some(ReportedError::Other(_)), 200) | (_, 300..=499 | 503) => Redemption::Refused {
            detail,
            refusal: refusal(status, reported),
        },
        _ => Redemption::OutcomeUnknown(detail),
    }
}

/// The refusal, to compare with others. None if the server is only unavailable.
fn refusal(status: u16, reported: Option<ReportedError>) -> Option<ClientError> {
    // Error codes about the client or the request: the same for every grant.
    const OF_CLIENT: [&str; 5] = [
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "access_denied",
    ];
    if !matches!(status, 200 | 400..=499) || matches!(status, 408 | 425 | 429) {
        return None;
    }
    let code = match reported {
        Some(ReportedError::Other(code)) => Some(code),
        _ => None,
    };
    let may_be_ours = code
        .as_ref()
        .is_none_or(|code| status == 401 || OF_CLIENT.contains(&code.as_str()));
    let code = code.filter(|code| {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        code.len() <= 64 && code.bytes().all(is_word)
    });
    Some(ClientError {
        alike: format!("{status} {}", code.unwrap_or_default()),
        may_be_ours,
    })
}

/// Whether the body contains one of these errors (RFC 6749, 5.2, or the entry's), whatever the status.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ReportedError {
    InvalidGrant,
    InvalidClient,
    Other(String),
}

fn reported_error(provider: &Provider, answer: &HttpResponse) -> Option<ReportedError> {
    // For a client of the user's own. Auth0 reports a wrong secret as `access_denied`, with status 401 or 403.
    const INVALID_CLIENT: [&str; 3] = ["invalid_client", "unauthorized_client", "access_denied"];
    let body = body(provider, answer);
    let is_own = provider.auth == Auth::ClientCredentials;
    let is_word = matches!(answer.status, 200 | 400..=499) && answer.status != 429;
    if !is_own {
        let mut refused = provider.invalid_grant.iter();
        let is_bare = is_word && answer.status != 200 && answer.body.trim() == "invalid_grant";
        if is_bare || refused.any(|refused| matches(refused, answer, body.as_ref())) {
            return Some(ReportedError::InvalidGrant);
        }
    }
    if !is_word {
        return None;
    }
    let error = body.as_ref()?.get("error")?.as_str()?;
    Some(match is_own {
        true if INVALID_CLIENT.contains(&error) => ReportedError::InvalidClient,
        false if error == "invalid_grant" => ReportedError::InvalidGrant,
        _ => ReportedError::Other(error.to_owned()),
    })
}

/// Whether a response matches a pattern of the entry.
fn matches(refused: &RefusedGrant, answer: &HttpResponse, body: Option<&Value>) -> bool {
    let status = answer.status;
    let usual = matches!(status, 200 | 400..=499) && status != 429;
    if !refused.status.map_or(usual, |wanted| wanted == status) {
        return false;
    }
    if let Some(text) = &refused.text {
        return answer.body.trim() == text;
    }
    let text = |pointer: &str| body?.pointer(pointer)?.as_str();
    let has_description = |wanted: &String| {
        let pointers = ["/error_description", "/message", "/error/message"];
        let wanted = wanted.to_ascii_lowercase();
        pointers
            .into_iter()
            .filter_map(text)
            .any(|reported| reported.to_ascii_lowercase().contains(&wanted))
    };
    refused.code.is_some()
        && text(&refused.at) == refused.code.as_deref()
        && refused.description.as_ref().is_none_or(has_description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::client::tests::client;
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
        let answer = HttpResponse {
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
            assert!(matches!(end, Redemption::Refused { .. }), "{kind}");
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
            (200, r#"{"error":"invalid_grant"}"#),
            (403, r#"{"error":"invalid_grant"}"#),
            (404, r#"{"error":"invalid_grant"}"#),
            (400, "invalid_grant"),
            (403, " invalid_grant\n"),
        ] {
            assert!(
                matches!(end(status, body), Redemption::InvalidGrant),
                "{status} {body}"
            );
        }
        for (status, body) in [
            (400, r#"{"error":"invalid_request"}"#),
            (400, r#"{"message":"invalid_grant"}"#),
            (401, r#"{"error":"invalid_client"}"#),
            (403, "invalid_grant is not what this is"),
            (200, r#"{"error":"bad_refresh_token"}"#),
            (429, r#"{"error":"invalid_grant"}"#),
            (429, "invalid_grant"),
            (503, "{}"),
            (307, r#"{"access_token":"a"}"#),
        ] {
            assert!(
                matches!(end(status, body), Redemption::Refused { .. }),
                "{status} {body}"
            );
        }
    }

    // Each as users of the provider have reported it.
    #[test]
    fn an_entry_says_in_which_words_a_grant_is_over() {
        let json = "application/json";
        let ends = |kind, status, body| {
            matches!(end_at(kind, json, status, body), Redemption::InvalidGrant)
        };
        for (kind, status, body) in [
            (
                "hubspot",
                400,
                r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token"}"#,
            ),
            (
                "bitbucket",
                400,
                r#"{"error":"invalid_request","error_description":"Invalid refresh_token"}"#,
            ),
            (
                "microsoft",
                400,
                r#"{"error":"interaction_required","error_description":"AADSTS50076"}"#,
            ),
            (
                "atlassian",
                403,
                r#"{"error":"unauthorized_client","error_description":"refresh_token is invalid"}"#,
            ),
            (
                "atlassian",
                403,
                r#"{"error":"unauthorized_client","error_description":"The Refresh_Token is invalid."}"#,
            ),
        ] {
            assert!(ends(kind, status, body), "{kind} {body}");
            assert!(!ends("supabase", status, body), "another provider: {body}");
            assert!(!ends(kind, 429, body), "{kind}: too many requests");
            assert!(!ends(kind, 500, body), "{kind}: an outage");
        }
        for (kind, status, body) in [
            ("hubspot", 400, r#"{"status":"BAD_CLIENT_SECRET"}"#),
            (
                "bitbucket",
                400,
                r#"{"error":"invalid_request","error_description":"Invalid redirect_uri"}"#,
            ),
            ("bitbucket", 400, r#"{"error":"invalid_request"}"#),
            (
                "atlassian",
                403,
                r#"{"error":"unauthorized_client","error_description":"the client may not"}"#,
            ),
            (
                "atlassian",
                403,
                r#"{"error":"unauthorized_client","error_description":7}"#,
            ),
            (
                "atlassian",
                401,
                r#"{"error":"unauthorized_client","error_description":"refresh_token is invalid"}"#,
            ),
        ] {
            assert!(!ends(kind, status, body), "{kind} {status} {body}");
        }
    }

    #[test]
    fn an_entry_may_give_another_status_or_a_bare_text() {
        let mut provider = client("supabase").provider;
        let word = |status, code: Option<&str>, text: Option<&str>| RefusedGrant {
            status,
            at: "/error/code".to_owned(),
            code: code.map(str::to_owned),
            description: None,
            text: text.map(str::to_owned),
        };
        provider.invalid_grant = vec![
            word(Some(500), Some("expired"), None),
            word(None, None, Some("no such token")),
        ];
        for (status, body, is_over) in [
            (500, r#"{"error":{"code":"expired"}}"#, true),
            (500, r#"{"error":{"code":"down"}}"#, false),
            (400, r#"{"error":{"code":"expired"}}"#, false),
            (401, " no such token\n", true),
            (429, "no such token", false),
            (503, "no such token", false),
        ] {
            let answer = HttpResponse {
                status,
                content_type: "text/plain".into(),
                body: body.into(),
            };
            let end = read(&provider, Ok(answer), DateTime::UNIX_EPOCH);
            assert_eq!(
                matches!(end, Redemption::InvalidGrant),
                is_over,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn refusals_are_alike_by_status_and_code() {
        let refusal = |status, body| match end(status, body) {
            Redemption::Refused { refusal, .. } => refusal,
            _ => panic!("{status} {body} is no refusal"),
        };
        for (status, body, alike, may_be_ours) in [
            (
                400,
                r#"{"error":"invalid_request"}"#,
                "400 invalid_request",
                false,
            ),
            (200, r#"{"error":"fatal"}"#, "200 fatal", false),
            // Errors about our client, or from another server in between.
            (401, r#"{"error":"planning"}"#, "401 planning", true),
            (
                400,
                r#"{"error":"invalid_client"}"#,
                "400 invalid_client",
                true,
            ),
            (
                403,
                r#"{"error":"unauthorized_client"}"#,
                "403 unauthorized_client",
                true,
            ),
            (404, "<html>", "404 ", true),
            (400, r#"{"error":"a\u0000b"}"#, "400 ", false),
        ] {
            let alike = alike.to_owned();
            assert_eq!(
                refusal(status, body),
                Some(ClientError { alike, may_be_ours }),
                "{status} {body}"
            );
        }
        for status in [307, 408, 425, 429, 503] {
            assert_eq!(
                refusal(status, r#"{"error":"invalid_request"}"#),
                None,
                "{status}"
            );
        }
    }

    #[test]
    fn a_client_of_the_users_own_gets_another_token() {
        let config = config(json!({
            "tenant": "acme.eu", "client_id": "id of client", "client_secret": "planted&", "access_token": "old"
        }));
        let of = |kind| Offer::Credentials(client(kind).provider);
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
            // About our own client, the error says that the settings are wrong. It ends no grant.
            let ours = end_at("gitlab", json, status, &body);
            assert!(
                matches!(ours, Redemption::Refused { .. }),
                "{status} {error}"
            );
        }
        for (status, error) in [
            (400, "invalid_scope"),
            (429, "access_denied"),
            (400, "invalid_grant"),
        ] {
            let body = format!(r#"{{"error":"{error}"}}"#);
            let own = end_at("auth0", json, status, &body);
            assert!(
                matches!(own, Redemption::Refused { .. }),
                "{status} {error}"
            );
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
                matches!(end(status, body), Redemption::OutcomeUnknown(_)),
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
                Redemption::OutcomeUnknown(_)
            ));
        }
    }
}
