//! The database functions that the scanner calls (docs/database.md) to claim, save, release and finish a run.

use checks::Outcome;
use platform::call::Call;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Serialize)]
pub struct ClaimScanRuns<'a> {
    pub p_owner: Uuid,
    /// How many at the most.
    pub p_limit: usize,
    pub p_types: &'a [&'a str],
    /// A run whose token expires within so many seconds is postponed.
    pub p_soon: u32,
    pub p_request_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claiming {
    /// Empty: nothing is due.
    Claimed { claims: Vec<Claim> },
}

#[derive(Deserialize)]
pub struct Claim {
    pub id: Uuid,
    pub generation: i64,
    pub organization_id: Uuid,
    pub integration_id: Uuid,
    pub integration_type: String,
    /// The config as JSON text.
    pub config: String,
    /// The catalogue of checks that produced the saved results.
    pub catalogue: Option<String>,
    /// The saved position; None: the scan has not started.
    pub position: Option<String>,
}

impl Call for ClaimScanRuns<'_> {
    const NAME: &'static str = "claim_scan_runs";
    type Outcome = Claiming;
}

/// Reads the stored credential again.
#[derive(Serialize)]
pub struct ReopenScanCredential<'a> {
    pub p_id: Uuid,
    pub p_owner: Uuid,
    pub p_generation: i64,
    /// A token that ends within so many seconds is not handed out.
    pub p_soon: u32,
    pub p_request_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reopening {
    /// The config as JSON text.
    Opened { config: String },
    /// Its token ends soon; the worker refreshes it.
    NotUsable,
    /// Another scanner has the run, or it ended.
    Changed,
    /// The caller has finished it.
    Finished,
    /// The integration was deleted.
    Gone,
}

impl Call for ReopenScanCredential<'_> {
    const NAME: &'static str = "reopen_scan_credential";
    type Outcome = Reopening;
}

/// Saves the position of a run and its results since the last save.
#[derive(Serialize)]
pub struct SaveScanPosition<'a> {
    pub p_id: Uuid,
    pub p_owner: Uuid,
    pub p_generation: i64,
    /// Which checks judge.
    pub p_catalogue: &'a str,
    /// The position as JSON text.
    pub p_position: &'a str,
    pub p_results: &'a [Outcome],
    pub p_requests: u32,
    /// Releases the run until then (RFC 3339); None: prolongs the claim.
    pub p_not_before: Option<String>,
    /// The wait is the provider's rate limit: pauses the integration until then.
    pub p_limited: bool,
    /// How many paused organizations pause the whole type; None: it is never paused.
    pub p_organizations: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saving {
    Saved,
    /// There is no room for these results: the scan ends here.
    Full,
    /// Another scanner has the run, or it ended.
    Changed,
    /// The caller has finished it.
    Finished,
    /// The integration was deleted.
    Gone,
}

impl Call for SaveScanPosition<'_> {
    const NAME: &'static str = "save_scan_position";
    type Outcome = Saving;
}

/// Releases a run that this scanner cannot work on now.
#[derive(Serialize)]
pub struct ReleaseScanRun {
    pub p_id: Uuid,
    pub p_owner: Uuid,
    pub p_generation: i64,
    /// For how long nobody claims it, in seconds.
    pub p_seconds: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Releasing {
    Released,
    /// Another scanner has the run, or it ended.
    Changed,
    /// The caller has finished it.
    Finished,
    /// The integration was deleted.
    Gone,
}

impl Call for ReleaseScanRun {
    const NAME: &'static str = "release_scan_run";
    type Outcome = Releasing;
}

#[derive(Serialize)]
pub struct FinishScanRun<'a> {
    pub p_id: Uuid,
    pub p_owner: Uuid,
    pub p_generation: i64,
    pub p_catalogue: &'a str,
    pub p_checks: &'a [CheckedBy<'a>],
    /// The results that were not saved yet.
    pub p_results: &'a [Outcome],
    pub p_requests: u32,
    /// Why it ended before its end.
    pub p_reason: Option<String>,
}

/// A check, and how much of the account it covered.
#[derive(Debug, PartialEq, Serialize)]
pub struct CheckedBy<'a> {
    pub check_id: &'a str,
    pub check_version: u32,
    /// Why a part of the account was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// Its former ids.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub was: &'a [String],
    /// Whether it compares with the time.
    pub clock: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finishing {
    /// It is compared with what was known.
    Finished,
    /// Another scanner has the run, or the integration has another account.
    Changed,
    /// The integration was deleted.
    Gone,
}

impl Call for FinishScanRun<'_> {
    const NAME: &'static str = "finish_scan_run";
    type Outcome = Finishing;
}
