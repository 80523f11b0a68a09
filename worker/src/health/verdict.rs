//! What the response to the identity request says about a live credential.
//!
//! Only the provider's own word ends a grant, and only after a refresh was tried. What may be an outage, or our own mistake, makes it
//! degraded.

use crate::error::{ClientError, Error};
use crate::http::{HttpResponse, SendError};
use crate::oauth::identity::{self, Asked};
use crate::offer::Offer;
use catalogue::IdentityStyle;
use sealed::PlainConfig;
use serde::Serialize;
use serde_json::Value;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub status: Status,
    /// The reason, unless it is active.
    pub reason: Option<Reason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The credential works, for the right account.
    Active,
    /// The provider gave no definite answer.
    Degraded,
    /// The provider rejects the credential, even after a refresh.
    ReconnectRequired,
    /// The grant has ended, or belongs to another account.
    Revoked,
}

/// Why an integration is not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Degraded: the response did not come in time.
    Timeout,
    /// Degraded: there was no connection, or it broke.
    Unreachable,
    /// Degraded: the provider failed (5xx).
    ProviderFailed,
    /// Degraded: too many requests.
    RateLimited,
    /// Degraded: the response cannot be read.
    BadAnswer,
    /// Degraded: the credential was rejected, and the refresh that would decide failed.
    RefreshFailed,
    /// Degraded: the stored config does not open here.
    Unreadable,
    /// Degraded: the secret of the organization's own OAuth app does not open here.
    AppUnreadable,
    /// A 403: degraded if a gatekeeper's page sent it, reconnect_required if the API did.
    Forbidden,
    /// reconnect_required: the provider rejects the credential, even a fresh one.
    Unauthorized,
    /// revoked: the provider says that the grant was revoked.
    TokenRevoked,
    /// revoked: the credential belongs to another account.
    AccountChanged,
    /// revoked: the grant no longer covers the account.
    AccountGone,
}

impl Verdict {
    pub const ACTIVE: Self = Self {
        status: Status::Active,
        reason: None,
    };

    pub fn degraded(reason: Reason) -> Self {
        Self::new(Status::Degraded, reason)
    }

    fn new(status: Status, reason: Reason) -> Self {
        Self {
            status,
            reason: Some(reason),
        }
    }

    /// Whether a fresh token might be accepted where this one was not.
    pub fn is_refusal(&self) -> bool {
        matches!(
            (self.status, self.reason),
            (Status::ReconnectRequired, _) | (Status::Revoked, Some(Reason::TokenRevoked))
        )
    }
}

/// Judges the response to `asked`. `account` is the account that must answer, if it is known; `is_paused`, whether the response asked for a pause.
pub fn judge(
    offer: &Offer,
    config: &PlainConfig,
    account: Option<&str>,
    answer: Result<HttpResponse, SendError>,
    asked: Asked,
    is_paused: bool,
) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(SendError::Timeout) => return Verdict::degraded(Reason::Timeout),
        Err(SendError::Network) => return Verdict::degraded(Reason::Unreachable),
        Err(SendError::TooLarge) => return Verdict::degraded(Reason::BadAnswer),
    };
    let style = offer.provider().identity.style;
    match answer.status {
        429 => return Verdict::degraded(Reason::RateLimited),
        403 if is_paused => return Verdict::degraded(Reason::RateLimited),
        500.. => return Verdict::degraded(Reason::ProviderFailed),
        // An introspection authenticates us, not the token: our client secret was rejected.
        401 | 403 if style == IdentityStyle::Introspection => {
            return Verdict::degraded(Reason::BadAnswer);
        }
        401 => return Verdict::new(Status::ReconnectRequired, Reason::Unauthorized),
        403 if answer.is_json() => {
            return Verdict::new(Status::ReconnectRequired, Reason::Forbidden);
        }
        403 => return Verdict::degraded(Reason::Forbidden),
        _ => {}
    }
    if let Some(refusal) = refusal(style, &answer) {
        return refusal;
    }
    match identity::read(offer, config, Ok(answer), asked) {
        Ok(accounts) if account.is_none_or(|id| accounts.iter().any(|a| a.id == id)) => {
            Verdict::ACTIVE
        }
        // Not a response to the request.
        Ok(_) if asked == Asked::One => Verdict::degraded(Reason::BadAnswer),
        Ok(_) if offer.provider().identity.list => gone(),
        Ok(_) => Verdict::new(Status::Revoked, Reason::AccountChanged),
        Err(Error::Client(ClientError::NoAccounts)) => gone(),
        // The provider accepted the credential, but the row names no account.
        Err(Error::Internal { .. }) => Verdict::ACTIVE,
        Err(_) => Verdict::degraded(Reason::BadAnswer),
    }
}

fn gone() -> Verdict {
    Verdict::new(Status::Revoked, Reason::AccountGone)
}

/// A rejection in the body, with a status that does not show it: RFC 7662's `active`, GraphQL's codes, Slack's `ok: false`.
fn refusal(style: IdentityStyle, answer: &HttpResponse) -> Option<Verdict> {
    const REVOKED: [&str; 2] = ["token_revoked", "account_inactive"];
    const UNAUTHORIZED: [&str; 6] = [
        "invalid_token",
        "invalid_auth",
        "not_authed",
        "token_expired",
        "AUTHENTICATION_ERROR",
        "UNAUTHENTICATED",
    ];
    if !matches!(answer.status, 200 | 400) || !answer.is_json() {
        return None;
    }
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    let said = match style {
        IdentityStyle::Introspection if body.get("active") == Some(&Value::Bool(false)) => {
            "invalid_token"
        }
        IdentityStyle::Graphql => body.pointer("/errors/0/extensions/code")?.as_str()?,
        _ => body.get("error")?.as_str()?,
    };
    if REVOKED.contains(&said) {
        return Some(Verdict::new(Status::Revoked, Reason::TokenRevoked));
    }
    let is_refused = UNAUTHORIZED.contains(&said);
    is_refused.then(|| Verdict::new(Status::ReconnectRequired, Reason::Unauthorized))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::client::tests::client;
    use serde_json::Map;

    const JSON: &str = "application/json";

    fn judged(kind: &str, account: &str, status: u16, media: &str, body: &str) -> Verdict {
        judged_of(Asked::All, kind, account, status, media, body)
    }

    fn judged_of(
        asked: Asked,
        kind: &str,
        account: &str,
        status: u16,
        media: &str,
        body: &str,
    ) -> Verdict {
        let answer = HttpResponse {
            status,
            content_type: media.into(),
            body: body.into(),
        };
        let config = PlainConfig::from_map(Map::from_iter([("team_id".to_owned(), "T".into())]));
        let account = Some(account).filter(|id| !id.is_empty());
        judge(
            &Offer::OAuth(client(kind)),
            &config,
            account,
            Ok(answer),
            asked,
            false,
        )
    }

    #[test]
    fn the_account_must_be_the_one_it_was() {
        let projects = r#"[{"ref":"abc","name":"A"},{"ref":"def","name":"D"}]"#;
        let at_supabase = |account, body| judged("supabase", account, 200, JSON, body);
        assert_eq!(at_supabase("def", projects), Verdict::ACTIVE);
        assert_eq!(at_supabase("", projects), Verdict::ACTIVE, "not known");
        assert_eq!(at_supabase("ghi", projects), gone());
        assert_eq!(at_supabase("abc", "[]"), gone());
        let user = r#"{"id":7,"username":"jo"}"#;
        assert_eq!(judged("gitlab", "7", 200, JSON, user), Verdict::ACTIVE);
        assert_eq!(
            judged("gitlab", "8", 200, JSON, user),
            Verdict::new(Status::Revoked, Reason::AccountChanged)
        );
    }

    #[test]
    fn one_account_that_was_asked_for_must_be_the_answer() {
        let one = |body| judged_of(Asked::One, "supabase", "abc", 200, JSON, body);
        assert_eq!(one(r#"{"ref":"abc","name":"A"}"#), Verdict::ACTIVE);
        for body in [
            r#"{"ref":"def","name":"D"}"#,
            r#"[{"ref":"abc","name":"A"}]"#,
            "{}",
        ] {
            assert_eq!(one(body), Verdict::degraded(Reason::BadAnswer), "{body}");
        }
    }

    #[test]
    fn an_answer_that_names_no_account_proves_the_credential() {
        let (good, bad) = (
            r#"{"ok":true,"team_id":"T"}"#,
            r#"{"ok":false,"error":"fatal_error"}"#,
        );
        assert_eq!(judged("slack", "T", 200, JSON, good), Verdict::ACTIVE);
        // A row of another writer, whose config names no account.
        assert_eq!(judged("notion", "W", 200, JSON, "{}"), Verdict::ACTIVE);
        assert_eq!(
            judged("slack", "T", 200, JSON, bad),
            Verdict::degraded(Reason::BadAnswer)
        );
    }

    #[test]
    fn only_the_providers_word_ends_a_grant() {
        let unauthorized = Verdict::new(Status::ReconnectRequired, Reason::Unauthorized);
        let revoked = Verdict::new(Status::Revoked, Reason::TokenRevoked);
        for (kind, status, media, body, expected) in [
            ("supabase", 401, JSON, "{}", unauthorized),
            ("gitlab", 401, "text/html", "<html>", unauthorized),
            (
                "gitlab",
                403,
                JSON,
                "{}",
                Verdict::new(Status::ReconnectRequired, Reason::Forbidden),
            ),
            (
                "gitlab",
                403,
                "text/html",
                "<html>",
                Verdict::degraded(Reason::Forbidden),
            ),
            (
                "gitlab",
                400,
                JSON,
                r#"{"error":"invalid_token"}"#,
                unauthorized,
            ),
            (
                "slack",
                200,
                JSON,
                r#"{"ok":false,"error":"token_expired"}"#,
                unauthorized,
            ),
            (
                "slack",
                200,
                JSON,
                r#"{"ok":false,"error":"token_revoked"}"#,
                revoked,
            ),
            ("hubspot", 200, JSON, r#"{"active":false}"#, unauthorized),
            (
                "hubspot",
                401,
                JSON,
                "{}",
                Verdict::degraded(Reason::BadAnswer),
            ),
            (
                "linear",
                400,
                JSON,
                r#"{"errors":[{"extensions":{"code":"AUTHENTICATION_ERROR"}}]}"#,
                unauthorized,
            ),
            (
                "linear",
                200,
                JSON,
                r#"{"errors":[{"extensions":{"code":"INTERNAL"}}]}"#,
                Verdict::degraded(Reason::BadAnswer),
            ),
        ] {
            let verdict = judged(kind, "7", status, media, body);
            assert_eq!(verdict, expected, "{kind} {status} {body}");
            assert_eq!(
                verdict.is_refusal(),
                expected.status != Status::Degraded,
                "{kind} {status} {body}"
            );
        }
        assert!(
            !gone().is_refusal(),
            "a fresh token would name the same account"
        );
    }

    #[test]
    fn an_outage_ends_nothing() {
        for (status, media, body, reason) in [
            (
                500,
                JSON,
                r#"{"error":"invalid_token"}"#,
                Reason::ProviderFailed,
            ),
            (503, "text/html", "", Reason::ProviderFailed),
            (429, JSON, "{}", Reason::RateLimited),
            (200, "text/html", "<html>", Reason::BadAnswer),
            (200, JSON, "<", Reason::BadAnswer),
            (200, JSON, "null", Reason::BadAnswer),
            (200, JSON, r#"{"username":"jo"}"#, Reason::BadAnswer),
            (302, JSON, "{}", Reason::BadAnswer),
            (404, JSON, "{}", Reason::BadAnswer),
            (400, JSON, r#"{"error":"bad_request"}"#, Reason::BadAnswer),
        ] {
            assert_eq!(
                judged("gitlab", "7", status, media, body),
                Verdict::degraded(reason),
                "{status} {body}"
            );
        }
        let config = PlainConfig::from_map(Map::new());
        let offer = Offer::OAuth(client("gitlab"));
        for (error, reason) in [
            (SendError::Timeout, Reason::Timeout),
            (SendError::Network, Reason::Unreachable),
            (SendError::TooLarge, Reason::BadAnswer),
        ] {
            assert_eq!(
                judge(&offer, &config, None, Err(error), Asked::All, false),
                Verdict::degraded(reason)
            );
        }
        let limited = HttpResponse {
            status: 403,
            content_type: JSON.into(),
            body: "{}".into(),
        };
        assert_eq!(
            judge(&offer, &config, None, Ok(limited), Asked::All, true),
            Verdict::degraded(Reason::RateLimited)
        );
    }
}
