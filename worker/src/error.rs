//! Everything that can go wrong, sorted by who is to blame, and the one place that maps it to HTTP.
//!
//! A caller learns a stable `code` and a sentence; what happened inside goes to the log as `detail`,
//! under the same request id.

use std::borrow::Cow;

/// What went wrong, by who is to blame.
#[derive(Debug)]
pub enum Error {
    /// The request cannot be served as it is; the caller can mend it.
    Client(ClientError),
    /// The authorization server (or the API behind it) did not do its part.
    Provider {
        /// What it did, for the log. Never a value that it sent.
        detail: Cow<'static, str>,
    },
    /// Supabase did not do its part.
    Database {
        /// How the caller is told.
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

/// How Supabase failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseFault {
    /// No answer within the time bound.
    Timeout,
    /// No connection, or an answer that says it is down.
    Unavailable,
    /// An answer that is none: another status, not JSON, another shape.
    InvalidResponse,
    /// A credential could not be written.
    Save,
}

/// Why a request is refused. Each has one code, one status and one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientError {
    /// No valid session or bearer token.
    Unauthorized,
    /// E-mail or password is wrong.
    BadCredentials,
    /// There were too many sign-ins, of the account or from the client's address.
    TooManySignIns {
        /// The next one may come in so many seconds.
        seconds: u32,
    },
    /// The user has made too many requests that may write.
    TooManyRequests {
        /// The next one may come in so many seconds.
        seconds: u32,
    },
    /// A cross-site request, or one that a browser could send without the page's doing.
    CrossSite,
    /// No such path.
    UnknownPath,
    /// No such integration, or not the caller's: both answer byte for byte the same.
    UnknownIntegration,
    /// The grant that waited for a choice is gone.
    UnknownChoice,
    /// The path exists, the method does not.
    Method {
        /// The methods that do, as the Allow header lists them.
        allow: String,
    },
    /// What was expected instead.
    Invalid(&'static str),
    /// The body is not JSON of the expected shape.
    Body(&'static str),
    /// A field of the credentials is missing or malformed: which, and what was expected.
    Fields(String),
    /// The body is larger than the limit.
    TooLarge,
    /// The body is not `application/json`.
    MediaType,
    /// The integration type is unknown or not configured here.
    UnknownProvider,
    /// The user is no member of the organisation.
    NotAMember,
    /// The user has too many connections open.
    TooMany,
    /// The user declined at the provider.
    Declined,
    /// The flow is unknown, expired, or already used.
    UnknownFlow,
    /// The flow was begun in another browser or by another user.
    ForeignFlow,
    /// The callback came from another authorization server than the one asked.
    WrongIssuer,
    /// The grant covers no account.
    NoAccounts,
    /// The integration has nothing to refresh it with.
    NotRefreshable,
    /// A reconnection came back with another account.
    AccountMismatch,
    /// The integration cannot be reconnected: nothing says which account must come back.
    AccountUnknown,
    /// Another integration has the name.
    NameTaken,
    /// The integration cannot be checked: there is no request that would tell.
    NotCheckable,
    /// The provider wants no requests.
    ProviderPaused {
        /// For so many seconds.
        seconds: u32,
    },
    /// The provider limits token requests, and the code was sent already.
    CodeSpent {
        /// The next connection may be started in so many seconds.
        seconds: u32,
    },
    /// The schedule is none.
    Schedule(&'static str),
    /// No such webhook, or not the caller's; or no such event of it.
    UnknownWebhook,
    /// The organisation has as many webhooks as it may have.
    TooManyWebhooks,
    /// The URL is none that webhooks may be sent to.
    BadUrl,
    /// The webhook is disabled.
    WebhookDisabled,
    /// The provider does not take the credentials.
    CredentialsRefused,
    /// The user has tried too many credentials.
    TooManyAttempts {
        /// The next one may come in so many seconds.
        seconds: u32,
    },
    /// The type is connected with credentials, not by OAuth.
    ConnectsByCredentials,
    /// The type is connected by OAuth, not with credentials.
    ConnectsByOauth,
}

impl ClientError {
    fn answer(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unauthorized => (401, "unauthorized", "sign in first"),
            Self::BadCredentials => (
                401,
                "bad_credentials",
                "the e-mail address or the password is wrong",
            ),
            Self::TooManySignIns { .. } => (
                429,
                "too_many_sign_ins",
                "too many sign-ins; wait as long as retry-after says",
            ),
            Self::TooManyRequests { .. } => (
                429,
                "too_many_requests",
                "too many requests; wait as long as retry-after says",
            ),
            Self::CrossSite => (
                403,
                "forbidden",
                "this request must come from the connect page itself",
            ),
            Self::UnknownPath => (404, "not_found", "no such path"),
            Self::UnknownIntegration => (404, "not_found", "no such integration"),
            Self::UnknownChoice => (
                404,
                "not_found",
                "this choice has expired or was already made; connect again",
            ),
            Self::Method { .. } => (
                405,
                "method_not_allowed",
                "this path does not take that method",
            ),
            Self::Invalid(expected) | Self::Body(expected) => (400, "invalid_request", expected),
            Self::Fields(_) => (
                400,
                "invalid_fields",
                "a field of the credentials is missing or malformed",
            ),
            Self::TooLarge => (413, "payload_too_large", "the body is larger than 16 KiB"),
            Self::MediaType => (
                415,
                "unsupported_media_type",
                "send the body as application/json",
            ),
            Self::UnknownProvider => (
                400,
                "provider_unknown",
                "this integration type is not offered here",
            ),
            Self::NotAMember => (
                403,
                "not_a_member",
                "you are not a member of this organization",
            ),
            Self::TooMany => (
                429,
                "too_many_connections",
                "too many connections are open; finish one or wait ten minutes",
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
                "this connection was begun in another browser or by another user; start again here",
            ),
            Self::WrongIssuer => (
                400,
                "invalid_request",
                "the answer did not come from the provider that was asked; start again",
            ),
            Self::NotRefreshable => (
                409,
                "not_refreshable",
                "there is nothing to refresh it with; connect again when the access ends",
            ),
            Self::NoAccounts => (
                422,
                "no_accounts",
                "the grant covers no project; create one at the provider, then connect again",
            ),
            Self::AccountMismatch => (
                409,
                "account_mismatch",
                "another account came back than the one this integration stands for; nothing was changed",
            ),
            Self::AccountUnknown => (
                409,
                "account_unknown",
                "this integration names no account of its own to come back with; disconnect it and connect again",
            ),
            Self::NameTaken => (
                409,
                "name_taken",
                "another integration of this type has that name",
            ),
            Self::NotCheckable => (
                409,
                "not_checkable",
                "nothing at the provider tells whether this credential is good",
            ),
            Self::ProviderPaused { .. } => (
                429,
                "provider_paused",
                "the provider takes no more requests for now; try again later",
            ),
            Self::CodeSpent { .. } => (
                429,
                "provider_rate_limited",
                "the provider takes no more requests for now, and this authorization is spent; wait as long as retry-after says, then start again",
            ),
            Self::Schedule(message) => (400, "bad_schedule", message),
            Self::UnknownWebhook => (404, "not_found", "no such webhook, or no such event of it"),
            Self::TooManyWebhooks => (
                429,
                "too_many_webhooks",
                "an organization has ten webhooks at the most; remove one first",
            ),
            Self::BadUrl => (
                400,
                "bad_url",
                "url must be https, at most 2048 characters, of a public host, without user and fragment, on port 443 or above 1023",
            ),
            Self::WebhookDisabled => (409, "webhook_disabled", "enable the webhook first"),
            Self::CredentialsRefused => (
                422,
                "credentials_refused",
                "the provider does not take these credentials, or they may not read their own account",
            ),
            Self::TooManyAttempts { .. } => (
                429,
                "too_many_attempts",
                "too many credentials were tried; wait as long as retry-after says",
            ),
            Self::ConnectsByCredentials => (
                409,
                "connects_by_credentials",
                "this type is connected with credentials: POST /api/integrations, and PUT /api/integrations/:id/credentials for fresh ones",
            ),
            Self::ConnectsByOauth => (
                409,
                "connects_by_oauth",
                "this type is connected at the provider: POST /api/auth/authorize",
            ),
        }
    }
}

impl Error {
    /// The HTTP status, the stable code and the sentence for the caller.
    pub fn answer(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Client(refusal) => refusal.answer(),
            Self::Provider { .. } => (
                502,
                "provider_failed",
                "the provider did not answer as it should; try again",
            ),
            Self::Database { fault, .. } => match fault {
                DatabaseFault::Timeout => (
                    503,
                    "upstream_timeout",
                    "the database did not answer in time; try again",
                ),
                DatabaseFault::Unavailable => (
                    503,
                    "upstream_unavailable",
                    "the database cannot be reached; try again",
                ),
                DatabaseFault::InvalidResponse => (
                    502,
                    "upstream_failed",
                    "the database did not answer as it should; try again",
                ),
                // The source document's words: its troubleshooting starts from them.
                DatabaseFault::Save => {
                    (503, "save_failed", "Failed to save integration to database")
                }
            },
            Self::Internal { .. } => (
                500,
                "internal",
                "something went wrong here; the operator finds it under the request id",
            ),
        }
    }

    /// The sentence for the caller, with the particulars of this request.
    pub fn message(&self) -> &str {
        match self {
            Self::Client(ClientError::Fields(message)) => message,
            other => other.answer().2,
        }
    }

    /// What the log line says beyond the code. Never a secret.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Client(_) => None,
            Self::Provider { detail } => Some(detail),
            Self::Database { detail, .. } | Self::Internal { detail } => Some(detail),
        }
    }

    /// A provider's fault with a fixed description.
    pub const fn provider(detail: &'static str) -> Self {
        Self::Provider {
            detail: Cow::Borrowed(detail),
        }
    }

    /// An answer of Supabase that is none.
    pub fn database_answer(detail: impl Into<String>) -> Self {
        Self::Database {
            fault: DatabaseFault::InvalidResponse,
            detail: detail.into(),
        }
    }
}

impl From<ClientError> for Error {
    fn from(refusal: ClientError) -> Self {
        Self::Client(refusal)
    }
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
