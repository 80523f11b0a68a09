//! What an entry tells people and tests: the worker has no use for it, so it is not compiled in.

use chrono::NaiveDate;
use serde::Deserialize;

/// What an entry tells people and tests, and the worker has no use for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The day on which the entry was last compared with the provider's documentation.
    pub verified: NaiveDate,
    /// Where that is.
    pub docs: String,
    /// What a user of the entry should know, and what could not be confirmed.
    #[serde(default)]
    pub note: Option<String>,
    /// Where the provider documents that it refuses a PKCE challenge. An entry without PKCE must say so.
    #[serde(default)]
    pub pkce_reason: Option<String>,
    /// What becomes of the refresh token, where the user consents to one.
    #[serde(default)]
    pub refresh: Refresh,
}

/// What becomes of the refresh token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// There is none.
    #[default]
    None,
    /// It goes on being good.
    Keeps,
    /// Each refresh brings another.
    Rotates,
}
