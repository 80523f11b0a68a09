//! All errors, sorted by who is to blame, and the one place that maps them to HTTP.
//!
//! The client gets a stable `code` and a message. The `detail` goes to the log, under the same request id.

use crate::auth::service_key::Scope;
use crate::http::SendError;
use platform::error::DatabaseError;
use platform::settings::SettingError;
use std::borrow::Cow;

pub use platform::error::DatabaseFault;

#[derive(Debug)]
pub enum Error {
    /// The client can correct it.
    Client(ClientError),
    /// The authorization server, or the provider's API, failed.
    Provider {
        /// What it did, for the log. Never a value that it sent.
        detail: Cow<'static, str>,
    },
    Database {
        /// Selects the code and the message for the caller.
        fault: DatabaseFault,
        /// What it did, for the log.
        detail: String,
    },
    /// Our own settings or code.
    Internal {
        /// What is wrong, in the operator's words, for the log.
        detail: String,
    },
}

/// Each has one code, one status and one sentence, in `answer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientError {
    Unauthorized,
    BadCredentials,
    /// Of the account, or from the client's address.
    TooManySignIns {
        seconds: u32,
    },
    /// Requests of the user that may write.
    TooManyRequests {
        seconds: u32,
    },
    /// A cross-site request, or one that a browser could send without the page.
    CrossSite,
    UnknownPath,
    /// No such integration, or not the caller's: both answer byte for byte the same.
    UnknownIntegration,
    /// The pending connection has expired, or is already stored or discarded.
    UnknownChoice,
    Method {
        /// As the Allow header lists them.
        allow: String,
    },
    /// A parameter is malformed. The text says what was expected.
    Invalid(&'static str),
    /// The body has another structure. The text says what was expected.
    Body(&'static str),
    /// A field of the credentials is missing or malformed. The text says which, and what was expected.
    Fields(String),
    TooLarge,
    MediaType,
    UnknownProvider,
    NotAMember,
    /// The user's unfinished connections.
    TooMany,
    Declined,
    UnknownFlow,
    ForeignFlow,
    /// RFC 9207.
    WrongIssuer,
    NoAccounts,
    NotRefreshable,
    AccountMismatch,
    /// As `AccountMismatch`, of an import.
    OtherAccount,
    SeveralAccounts,
    AlreadyConnected,
    OwnOauthApp,
    NotImportable,
    NotRedeemed,
    RefreshInProgress,
    RevocationPending,
    NewerCredentials,
    AccountUnknown,
    MissingScope(Scope),
    ForeignOrganization,
    /// Of the organization, or of the service key.
    TooManyConnectSessions,
    ReturnUrl,
    ScopesNotAllowed,
    TypeNotAllowed,
    LinkUsed,
    LinkExpired,
    ConnectSessionOver,
    ConnectSessionNotReady,
    ConnectSessionCompleted,
    UnknownCursor,
    WrongCompletion,
    NotAnAdmin,
    NotTheOwner,
    UnknownServiceKey,
    TooManyServiceKeys,
    NeedsReauthorization,
    SeveralIntegrations,
    PlaintextDisabled,
    NameTaken,
    NotCheckable,
    ProviderPaused {
        seconds: u32,
    },
    /// The provider limits token requests, and the code was sent already.
    CodeSpent {
        seconds: u32,
    },
    /// No such run of the scanner, finding or mute, or not the caller's. The text says which.
    NoSuch(&'static str),
    NotAssessable,
    ReconnectRequired,
    TooManyScans {
        seconds: u32,
    },
    TooManyMutes,
    /// Not a valid cron expression. The text says why.
    Schedule(&'static str),
    UnknownWebhook,
    TooManyWebhooks,
    BadUrl,
    WebhookDisabled,
    CredentialsRefused,
    TooManyAttempts {
        seconds: u32,
    },
    ConnectsByCredentials,
    ConnectsByOauth,
    UnknownApp,
    AppExists,
    TooManyApps,
    /// The text says what needs the app.
    AppInUse(String),
    AppUnreadable,
}

impl ClientError {
    fn answer(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unauthorized => (401, "unauthorized", "sign in first"),
            Self::BadCredentials => (
                401,
                "bad_credentials",
                "the email address or the password is wrong",
            ),
            Self::TooManySignIns { .. } => (
                429,
                "too_many_sign_ins",
                "too many sign-in attempts; wait as long as retry-after says",
            ),
            Self::TooManyRequests { .. } => (
                429,
                "too_many_requests",
                "too many requests; wait as long as retry-after says",
            ),
            Self::CrossSite => (
                403,
                "forbidden",
                "the request did not come from the connect page; send it from there, or with a bearer token",
            ),
            Self::MissingScope(scope) => (403, "missing_scope", scope.missing()),
            Self::ForeignOrganization => (
                403,
                "wrong_organization",
                "this service key acts for another organization",
            ),
            Self::TooManyConnectSessions => (
                429,
                "too_many_connect_sessions",
                "too many connect sessions are unfinished; wait ten minutes",
            ),
            Self::ReturnUrl => (
                400,
                "return_url_not_allowed",
                "return_url must have an origin that the setting RETURN_ORIGINS lists, no user, no fragment, no parameter session, code, error or state, and at most 2048 characters",
            ),
            Self::ScopesNotAllowed => (
                400,
                "scopes_not_allowed",
                "scopes may contain only allowed types, and of each only scopes that the setting <TYPE>_SCOPES lists",
            ),
            Self::TypeNotAllowed => (
                400,
                "type_not_allowed",
                "this connect session does not allow that integration type",
            ),
            Self::LinkUsed => (
                409,
                "link_used",
                "this link was opened before; go back to where you got it and start again",
            ),
            Self::LinkExpired => (
                409,
                "link_expired",
                "this link has expired; go back to where you got it and start again",
            ),
            Self::ConnectSessionOver => (
                409,
                "connect_session_over",
                "this connect session has ended, or its account is already chosen; start another one",
            ),
            Self::ConnectSessionNotReady => (
                409,
                "connect_session_not_ready",
                "the user has not connected an account yet; complete the session when the browser returns with a code",
            ),
            Self::ConnectSessionCompleted => (
                409,
                "connect_session_completed",
                "this connect session was completed before; GET /api/connect-sessions/:id returns its integration",
            ),
            Self::UnknownCursor => (
                400,
                "cursor_unknown",
                "this cursor is from before a restore of the database; start without one, and skip the events that you have by their id and occurred_at",
            ),
            Self::WrongCompletion => (
                400,
                "wrong_completion",
                "the code or the code_verifier is not the session's; after five such requests the session fails",
            ),
            Self::NotAnAdmin => (
                403,
                "not_an_admin",
                "your role in this organization may only see; ask an owner to make you an admin",
            ),
            Self::NotTheOwner => (
                403,
                "not_the_owner",
                "only an owner of this organization may do that",
            ),
            Self::PlaintextDisabled => (
                403,
                "plaintext_disabled",
                "this deployment hands out sealed credentials only; ask for \"form\":\"sealed\", or set PLAINTEXT_CREDENTIALS",
            ),
            Self::UnknownServiceKey => (404, "not_found", "no such service key"),
            Self::NeedsReauthorization => (
                409,
                "needs_reauthorization",
                "the provider no longer accepts this credential; its user must reconnect the integration",
            ),
            Self::SeveralIntegrations => (
                409,
                "several_integrations",
                "the organization has several integrations of this type; ask for one by its id",
            ),
            Self::TooManyServiceKeys => (
                409,
                "too_many_service_keys",
                "the organization has 50 valid service keys; revoke one first",
            ),
            Self::UnknownPath => (404, "not_found", "no such path"),
            Self::UnknownIntegration => (404, "not_found", "no such integration"),
            Self::UnknownChoice => (
                404,
                "not_found",
                "this connection has expired or is already finished; connect again",
            ),
            Self::Method { .. } => (
                405,
                "method_not_allowed",
                "this path does not support that method; use one that the allow header lists",
            ),
            Self::Invalid(expected) | Self::Body(expected) => (400, "invalid_request", expected),
            Self::Fields(_) => (
                400,
                "invalid_fields",
                "a field of the credentials is missing or malformed",
            ),
            Self::TooLarge => (
                413,
                "payload_too_large",
                "the body is larger than 16 KiB; send a smaller one",
            ),
            Self::MediaType => (
                415,
                "unsupported_media_type",
                "the body is not application/json; send it as JSON with that content type",
            ),
            Self::UnknownProvider => (
                400,
                "provider_unknown",
                "this integration type is not available here; GET /api/providers lists those that are",
            ),
            Self::NotAMember => (
                403,
                "not_a_member",
                "you are not a member of this organization; ask its owner to add you",
            ),
            Self::TooMany => (
                429,
                "too_many_connections",
                "too many connections are unfinished; finish one or wait ten minutes",
            ),
            Self::Declined => (
                400,
                "declined",
                "access was declined at the provider; nothing was connected",
            ),
            Self::UnknownFlow => (
                400,
                "flow_unknown",
                "this connection attempt has expired or was already used; start again",
            ),
            Self::ForeignFlow => (
                403,
                "flow_foreign",
                "this connection was started in another browser or by another user; start again here",
            ),
            Self::WrongIssuer => (
                400,
                "invalid_request",
                "the response came from another provider than the one that was asked; start again",
            ),
            Self::NotRefreshable => (
                409,
                "not_refreshable",
                "this integration has no refresh token; connect again when its access expires",
            ),
            Self::NoAccounts => (
                422,
                "no_accounts",
                "the authorization covers no project; create one at the provider, then connect again",
            ),
            Self::AccountMismatch => (
                409,
                "account_mismatch",
                "you authorized a different account than the one this integration uses; nothing was changed",
            ),
            Self::OtherAccount => (
                409,
                "account_mismatch",
                "the provider names another account for this credential than account_id; nothing was stored",
            ),
            Self::SeveralAccounts => (
                422,
                "several_accounts",
                "this credential covers several accounts, and one grant is one connection; say with account_id which account it is",
            ),
            Self::AlreadyConnected => (
                409,
                "already_connected",
                "this account is connected already; nothing was changed; send \"replace\":true to replace its credentials",
            ),
            Self::OwnOauthApp => (
                409,
                "own_oauth_app",
                "this account is connected with an OAuth app of the organization's own, and an import is a grant of the deployment's app; nothing was changed",
            ),
            Self::NotImportable => (
                422,
                "not_importable",
                "this provider names the account only when it issues a token, so nobody can say whose credential this is; connect it by OAuth",
            ),
            Self::NotRedeemed => (
                422,
                "not_importable",
                "there is no access token, and this provider ends a refresh token when it is used; import it with a live access token",
            ),
            Self::RefreshInProgress => (
                409,
                "refresh_in_progress",
                "the integration to replace is being refreshed; try again in two minutes",
            ),
            Self::RevocationPending => (
                409,
                "revocation_pending",
                "an earlier grant of this account is still being revoked, and that may end this one; try again when it is done",
            ),
            Self::NewerCredentials => (
                409,
                "newer_credentials",
                "newer credentials of this account were stored meanwhile; nothing was changed",
            ),
            Self::AccountUnknown => (
                409,
                "account_unknown",
                "this integration has no recorded account, so it cannot be reconnected; disconnect it and connect again",
            ),
            Self::NameTaken => (
                409,
                "name_taken",
                "another integration of this type has that name; choose another name",
            ),
            Self::NotCheckable => (
                409,
                "not_checkable",
                "this provider offers no way to check this credential",
            ),
            Self::ProviderPaused { .. } => (
                429,
                "provider_paused",
                "the provider accepts no requests for now; wait as long as retry-after says",
            ),
            Self::CodeSpent { .. } => (
                429,
                "provider_rate_limited",
                "the provider accepts no requests for now, and this authorization cannot be used again; wait as long as retry-after says, then start again",
            ),
            Self::NoSuch(message) => (404, "not_found", message),
            Self::NotAssessable => (
                409,
                "not_assessable",
                "nothing is checked of this integration type; GET /api/checks lists what is",
            ),
            Self::ReconnectRequired => (
                409,
                "reconnect_required",
                "the credential does not work any more; reconnect the integration first",
            ),
            Self::TooManyScans { .. } => (
                429,
                "too_many_scans",
                "you have started too many scans; wait as long as retry-after says",
            ),
            Self::TooManyMutes => (
                429,
                "too_many_mutes",
                "an organization can have at most 1,000 mutes at a time; end one first",
            ),
            Self::Schedule(message) => (400, "bad_schedule", message),
            Self::UnknownWebhook => (404, "not_found", "no such webhook, or no such event of it"),
            Self::TooManyWebhooks => (
                429,
                "too_many_webhooks",
                "an organization can have at most ten webhooks; delete one first",
            ),
            Self::BadUrl => (
                400,
                "bad_url",
                "url must be an https URL of a public host, on port 443 or above 1023, without user or fragment, at most 2048 characters",
            ),
            Self::WebhookDisabled => (
                409,
                "webhook_disabled",
                "the webhook is disabled; enable it first",
            ),
            Self::CredentialsRefused => (
                422,
                "credentials_refused",
                "the provider rejects these credentials, or they may not read their own account; check them and try again",
            ),
            Self::TooManyAttempts { .. } => (
                429,
                "too_many_attempts",
                "too many attempts to connect with credentials; wait as long as retry-after says",
            ),
            Self::ConnectsByCredentials => (
                409,
                "connects_by_credentials",
                "this type is connected with credentials; use POST /api/integrations, or PUT /api/integrations/:id/credentials to replace them",
            ),
            Self::ConnectsByOauth => (
                409,
                "connects_by_oauth",
                "this type is connected by OAuth; use POST /api/auth/authorize",
            ),
            Self::UnknownApp => (
                404,
                "not_found",
                "no such OAuth app of this organization, or of another integration type",
            ),
            Self::AppExists => (
                409,
                "oauth_app_exists",
                "this organization, or this deployment, already has an OAuth app of this type with that client_id; change its secret instead",
            ),
            Self::TooManyApps => (
                409,
                "too_many_oauth_apps",
                "an organization can have at most 20 OAuth apps; delete one first",
            ),
            Self::AppInUse(_) => (
                409,
                "oauth_app_in_use",
                "connections use this OAuth app; disconnect them, or reconnect them with another app",
            ),
            Self::AppUnreadable => (
                409,
                "oauth_app_unreadable",
                "the secret of this connection's OAuth app does not open with the deployment's keys; set the app's client_secret again",
            ),
        }
    }
}

impl Error {
    /// The HTTP status, the stable code, and the message for the client.
    pub fn answer(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Client(refusal) => refusal.answer(),
            Self::Provider { .. } => (
                502,
                "provider_failed",
                "the provider failed or returned an invalid response; try again",
            ),
            Self::Database { fault, .. } => match fault {
                DatabaseFault::Timeout => (
                    503,
                    "upstream_timeout",
                    "the database did not answer in time; try again",
                ),
                DatabaseFault::Unavailable | DatabaseFault::DataKeyDeleted => (
                    503,
                    "upstream_unavailable",
                    "the database cannot be reached; try again",
                ),
                DatabaseFault::InvalidResponse => (
                    502,
                    "upstream_failed",
                    "the database returned an invalid response; try again",
                ),
                // The words of the source document (ARCHITECTURE.md), which its readers search for.
                DatabaseFault::Save => {
                    (503, "save_failed", "Failed to save integration to database")
                }
            },
            Self::Internal { .. } => (
                500,
                "internal",
                "internal error; give the request ID to the operator",
            ),
        }
    }

    /// The message for the client, with the particulars of this request.
    pub fn message(&self) -> &str {
        match self {
            Self::Client(ClientError::Fields(message) | ClientError::AppInUse(message)) => message,
            other => other.answer().2,
        }
    }

    /// The part of the log line beside the code. Never a secret.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Client(_) => None,
            Self::Provider { detail } => Some(detail),
            Self::Database { detail, .. } | Self::Internal { detail } => Some(detail),
        }
    }

    pub const fn provider(detail: &'static str) -> Self {
        Self::Provider {
            detail: Cow::Borrowed(detail),
        }
    }

    pub fn database_answer(detail: impl Into<String>) -> Self {
        DatabaseError::invalid(detail).into()
    }

    pub fn no_answer(what: &str, error: SendError) -> Self {
        DatabaseError::no_answer(what, error).into()
    }

    pub fn refused(what: &str, status: u16, body: &str) -> Self {
        DatabaseError::refused(what, status, body).into()
    }
}

impl From<&SettingError> for Error {
    fn from(SettingError(detail): &SettingError) -> Self {
        let detail = detail.clone();
        Self::Internal { detail }
    }
}

impl From<DatabaseError> for Error {
    fn from(DatabaseError { fault, detail }: DatabaseError) -> Self {
        Self::Database { fault, detail }
    }
}

impl From<ClientError> for Error {
    fn from(refusal: ClientError) -> Self {
        Self::Client(refusal)
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    /// The status and the code of each answer in this file: `(404, "not_found", …)`.
    fn answered() -> Vec<(&'static str, &'static str)> {
        let source = include_str!("error.rs");
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let answers = code.split('(').filter_map(|text| {
            let (status, rest) = text.trim_start().split_once(',')?;
            status.parse::<u16>().ok()?;
            let code = rest.trim_start().strip_prefix('"')?.split_once('"')?.0;
            Some((status, code))
        });
        answers.collect()
    }

    /// The first two columns of the table in docs/api.md.
    fn documented() -> Vec<(&'static str, &'static str)> {
        let rows = include_str!("../../docs/api.md").lines();
        let rows = rows.filter_map(|line| {
            let (status, rest) = line.strip_prefix("| ")?.split_once(" | `")?;
            status.parse::<u16>().ok()?;
            Some((status, rest.split_once('`')?.0))
        });
        rows.collect()
    }

    #[test]
    fn docs_api_md_describes_every_code_and_no_other() {
        let (mut answered, mut documented) = (answered(), documented());
        assert!(answered.len() > 40, "{answered:?}");
        answered.sort_unstable();
        answered.dedup();
        documented.sort_unstable();
        assert_eq!(documented, answered);
    }
}
