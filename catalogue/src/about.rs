//! The part of an entry that people and tests read. The worker does not need it, so it is not compiled in.

use chrono::NaiveDate;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The day on which the entry was last compared with the provider's documentation.
    pub verified: NaiveDate,
    /// The URL of that documentation.
    pub docs: String,
    /// What a user of the entry should know, and what could not be confirmed.
    #[serde(default)]
    pub note: Option<String>,
    /// Where the provider documents that it refuses a PKCE challenge. An entry without PKCE must say so.
    #[serde(default)]
    pub pkce_reason: Option<String>,
}
