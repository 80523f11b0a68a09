//! The functions of the database that the scanner calls (docs/database.md): a run is claimed, kept, and finished.

use checks::Outcome;
use platform::call::Call;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Runs are claimed.
#[derive(Serialize)]
pub struct ClaimScanRuns<'a> {
    /// Who claims.
    pub p_owner: Uuid,
    /// How many at the most.
    pub p_limit: usize,
    /// Of these types.
    pub p_types: &'a [&'a str],
    /// A run whose token ends within so many seconds is put off.
    pub p_soon: u32,
    /// For the events.
    pub p_request_id: &'a str,
}

/// What becomes of [`ClaimScanRuns`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claiming {
    /// These; none: nothing is due.
    Claimed {
        /// The claims.
        claims: Vec<Claim>,
    },
}

/// A claimed run.
#[derive(Deserialize)]
pub struct Claim {
    /// Which run.
    pub id: Uuid,
    /// Which claim of it.
    pub generation: i64,
    /// Whose the integration is.
    pub organization_id: Uuid,
    /// Which integration.
    pub integration_id: Uuid,
    /// With which provider.
    pub integration_type: String,
    /// The config as JSON text.
    pub config: String,
    /// Which checks have judged so far.
    pub catalogue: Option<String>,
    /// Where the scan is; None: at its beginning.
    pub position: Option<String>,
}

impl Call for ClaimScanRuns<'_> {
    const NAME: &'static str = "claim_scan_runs";
    type Outcome = Claiming;
}

/// The stored credential is wanted once more.
#[derive(Serialize)]
pub struct ReopenScanCredential<'a> {
    /// Which run.
    pub p_id: Uuid,
    /// Who has it.
    pub p_owner: Uuid,
    /// By which claim.
    pub p_generation: i64,
    /// A token that ends within so many seconds is not handed out.
    pub p_soon: u32,
    /// For the event.
    pub p_request_id: &'a str,
}

/// What becomes of [`ReopenScanCredential`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reopening {
    /// The config as JSON text.
    Opened {
        /// The text.
        config: String,
    },
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

/// Where a run is, and what it has found since.
#[derive(Serialize)]
pub struct SaveScanPosition<'a> {
    /// Which run.
    pub p_id: Uuid,
    /// Who has it.
    pub p_owner: Uuid,
    /// By which claim.
    pub p_generation: i64,
    /// Which checks judge.
    pub p_catalogue: &'a str,
    /// The position as JSON text.
    pub p_position: &'a str,
    /// The results since.
    pub p_results: &'a [Outcome],
    /// The requests since.
    pub p_requests: u32,
    /// Let go until then (RFC 3339); None: the claim is prolonged.
    pub p_not_before: Option<String>,
    /// The provider asked to wait until then: the whole integration does.
    pub p_limited: bool,
    /// And after so many organizations the whole type; None: never.
    pub p_organizations: Option<u32>,
}

/// What becomes of [`SaveScanPosition`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saving {
    /// It is kept.
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

/// A run cannot be scanned here now, for a reason that is not the account's.
#[derive(Serialize)]
pub struct ReleaseScanRun {
    /// Which run.
    pub p_id: Uuid,
    /// Who has it.
    pub p_owner: Uuid,
    /// By which claim.
    pub p_generation: i64,
    /// For how long nobody claims it, in seconds.
    pub p_seconds: u32,
}

/// What becomes of [`ReleaseScanRun`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Releasing {
    /// It waits.
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

/// A run ends.
#[derive(Serialize)]
pub struct FinishScanRun<'a> {
    /// Which run.
    pub p_id: Uuid,
    /// Who has it.
    pub p_owner: Uuid,
    /// By which claim.
    pub p_generation: i64,
    /// Which checks have judged.
    pub p_catalogue: &'a str,
    /// Every check of the type.
    pub p_checks: &'a [CheckedBy<'a>],
    /// The results that were not saved yet.
    pub p_results: &'a [Outcome],
    /// The requests since.
    pub p_requests: u32,
    /// Why it ended before its end.
    pub p_reason: Option<String>,
}

/// A check, and how much of the account it saw.
#[derive(Debug, PartialEq, Serialize)]
pub struct CheckedBy<'a> {
    /// Its id.
    pub check_id: &'a str,
    /// Its version.
    pub check_version: u32,
    /// Why a part was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// Its former ids.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub was: &'a [String],
    /// Whether it compares with the time.
    pub clock: bool,
}

/// What becomes of [`FinishScanRun`].
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
