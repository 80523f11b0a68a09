//! A health check: claimed, made, and settled with its verdict; and the pause that a provider asks for.

use crate::db::call::Call;
use crate::health::verdict::{Reason, Status};
use crate::ids::{IntegrationId, OrganizationId, UserId};
use catalogue::Endpoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The check of one integration is claimed.
#[derive(Serialize)]
pub struct ClaimCheck<'a> {
    /// Which.
    pub p_id: IntegrationId,
    /// Who asks; None: the worker by itself.
    pub p_user_id: Option<UserId>,
    /// A token that ends within so many seconds is not handed out.
    pub p_soon: u32,
    /// For the event.
    pub p_request_id: &'a str,
}

/// What becomes of [`ClaimCheck`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingCheck {
    /// The caller checks and settles.
    Claimed(CheckClaim),
    /// It was checked a moment ago.
    Recent(Health),
    /// Somebody else is at it; ask again.
    Busy,
    /// The provider wants no requests.
    Paused {
        /// For so many seconds.
        seconds: u32,
    },
    /// It is not the user's to see, or there is none.
    Unknown,
}

/// A claimed check.
#[derive(Deserialize)]
pub struct CheckClaim {
    /// Which integration.
    pub id: IntegrationId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
    /// The account that must answer, where that is known.
    pub account_id: Option<String>,
    /// When it is checked, in the words of whoever wrote it.
    pub scan_schedule: Option<String>,
    /// Which config the claim is about.
    pub version: String,
    /// The config as JSON text; None: its token ends soon, ask for a fresh one.
    pub config: Option<String>,
}

/// How an integration fares, as its members are shown it.
#[derive(Deserialize, Serialize)]
pub struct Health {
    /// Its status.
    pub status: String,
    /// Why it is not active.
    pub status_reason: Option<String>,
    /// When it was checked (RFC 3339).
    pub last_checked_at: Option<String>,
    /// When it will be.
    pub next_check_at: Option<String>,
}

impl Call for ClaimCheck<'_> {
    const NAME: &'static str = "claim_check";
    type Outcome = ClaimingCheck;
}

/// What is due is claimed.
#[derive(Serialize)]
pub struct ClaimDueChecks<'a> {
    /// How many at the most.
    pub p_limit: u32,
    /// Of these types.
    pub p_types: &'a [&'a str],
    /// A token that ends within so many seconds is not handed out.
    pub p_soon: u32,
    /// For the events.
    pub p_request_id: &'a str,
}

/// What becomes of [`ClaimDueChecks`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingDueChecks {
    /// These, the longest due first; none: nothing is due.
    Claimed {
        /// The claims.
        claims: Vec<CheckClaim>,
    },
}

impl Call for ClaimDueChecks<'_> {
    const NAME: &'static str = "claim_due_checks";
    type Outcome = ClaimingDueChecks;
}

/// Claimed checks end.
#[derive(Serialize)]
pub struct SettleChecks<'a> {
    /// How each ended.
    pub p_results: &'a [CheckResult],
    /// Who asked for them.
    pub p_user_id: Option<UserId>,
    /// For the events.
    pub p_request_id: &'a str,
    /// The types that the scanner has checks for: a slot of the schedule that passes becomes a run of it.
    pub p_scan_types: &'a [&'a str],
}

/// How a check ended.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Which integration.
    pub id: IntegrationId,
    /// Which config it was about.
    pub version: String,
    /// What was found; None: nobody was asked.
    pub status: Option<Status>,
    /// Why it is not active.
    pub reason: Option<Reason>,
    /// After how many days of `forbidden` the user must reconnect.
    pub forbidden_days: Option<u32>,
    /// The schedule that `next_check_at` follows.
    pub schedule: Option<String>,
    /// When the next check is (RFC 3339).
    pub next_check_at: Option<String>,
}

/// What becomes of [`SettleChecks`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlingChecks {
    /// Each for itself.
    Ended {
        /// By integration.
        ends: BTreeMap<Uuid, CheckEnd>,
    },
}

/// What became of one check.
#[derive(Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum CheckEnd {
    /// It is written.
    Checked(Health),
    /// The row holds another credential by now; nothing was written.
    Changed,
    /// The claim was given back.
    Released,
    /// The integration was deleted.
    Gone,
    /// The row could not be had in time.
    Busy,
}

impl Call for SettleChecks<'_> {
    const NAME: &'static str = "settle_checks";
    type Outcome = SettlingChecks;
}

/// A provider has asked an integration to wait.
#[derive(Serialize)]
pub struct PauseProvider {
    /// Which integration.
    pub p_id: IntegrationId,
    /// At which endpoint.
    pub p_endpoint: Endpoint,
    /// For so many seconds, an hour at the most.
    pub p_seconds: u32,
    /// How many organizations must have been told so before all of the type wait; None: no number of them.
    pub p_organizations: Option<u32>,
}

/// What becomes of [`PauseProvider`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pausing {
    /// The integration waits.
    Paused,
    /// All of its type wait.
    TypePaused,
    /// The integration is gone.
    Unknown,
}

impl Call for PauseProvider {
    const NAME: &'static str = "pause_provider";
    type Outcome = Pausing;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use serde_json::json;

    #[test]
    fn a_result_without_status_gives_the_claim_back() {
        let id = IntegrationId(Uuid::nil());
        let result = CheckResult {
            id,
            version: "v".to_owned(),
            status: None,
            reason: None,
            forbidden_days: None,
            schedule: None,
            next_check_at: None,
        };
        assert_eq!(
            serde_json::to_value(result).unwrap(),
            json!({"id": id, "version": "v", "status": null, "reason": null, "forbidden_days": null, "schedule": null, "next_check_at": null})
        );
    }

    #[test]
    fn ends_are_read_by_integration() {
        let body = r#"{"outcome":"ended","ends":{
            "67e55044-10b1-426f-9247-bb680e5fe0c8":
                {"end":"checked","status":"degraded","status_reason":"timeout","last_checked_at":"x","next_check_at":null},
            "67e55044-10b1-426f-9247-bb680e5fe0c9":{"end":"changed"}
        }}"#;
        let SettlingChecks::Ended { ends } = json::read_tagged("outcome", body).unwrap();
        let end = |last: &str| {
            let id = format!("67e55044-10b1-426f-9247-bb680e5fe0c{last}");
            ends.get(&id.parse::<Uuid>().unwrap())
        };
        assert!(matches!(end("8"), Some(CheckEnd::Checked(_))));
        assert!(matches!(end("9"), Some(CheckEnd::Changed)));
        assert!(end("7").is_none());
    }
}
