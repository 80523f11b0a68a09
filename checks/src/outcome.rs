//! What a check says of one resource.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::severity::Severity;

/// A result's status. Muted is not one: a mute is joined where results are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Seen, and as it should be.
    Pass,
    /// There is nothing here that the check is about.
    NotApplicable,
    /// A person must look.
    Manual,
    /// Not seen; `reason` says why.
    Unknown,
    /// Seen, and not as it should be.
    Fail,
}

/// Why a result is unknown or not applicable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The credential may not ask this.
    Forbidden,
    /// 404 or 410: hidden from this credential, or gone.
    Hidden,
    /// The answer does not say it.
    Absent,
    /// The scope was not granted, so it was not asked.
    NoScope,
    /// The credential is not accepted any more.
    Unauthorized,
    /// The provider's rate limit did not end in time.
    Limited,
    /// The list was not read to its end.
    Truncated,
    /// The answer is larger than the bound.
    TooLarge,
    /// No answer, or 5xx.
    ProviderFailed,
    /// The answer is not what the documentation says: HTML, cut JSON, another shape.
    BadAnswer,
    /// The provider says itself that it could not look.
    Unavailable,
    /// No scan has looked yet.
    NotScanned,
    /// Not applicable: the plan does not have it.
    Plan,
    /// Not applicable: the feature is off.
    Off,
    /// Not applicable: the account is paused.
    Paused,
    /// Not applicable: a list that was read to its end has nothing that the check is about.
    Empty,
}

impl Reason {
    /// Whether it says that there is nothing to see, rather than that it could not be seen.
    pub fn is_inapplicable(self) -> bool {
        matches!(self, Self::Plan | Self::Off | Self::Paused | Self::Empty)
    }
}

/// What a result is about, by the provider's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceId {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The provider's id.
    pub id: String,
}

/// What a check says of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The check's id.
    pub check_id: String,
    /// Its version.
    pub check_version: u32,
    /// What it is about.
    pub resource: ResourceId,
    /// Its name, for people; no part of the identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// What tells several results of one resource apart; empty if there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub item: String,
    /// The verdict.
    pub status: Status,
    /// Why it is unknown or not applicable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The scopes that would make it known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// How bad a failure is.
    pub severity: Severity,
    /// Scalars by pointer, strings cut to 200 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, Value>,
}

impl Outcome {
    /// The identity of a finding across runs: SHA-256 over length-prefixed texts, ids of the provider and never names, so that it
    /// survives a rename and a reconnection. `kind` is the integration's type, `account` the provider's id of the account.
    pub fn fingerprint(&self, kind: &str, account: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for text in [
            "v1",
            kind,
            account,
            &self.check_id,
            &self.resource.kind,
            &self.resource.id,
            &self.item,
        ] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().into()
    }
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
