//! Health checks: claimed, and settled with a verdict. And the pauses that providers ask for.

use crate::auth::caller::Caller;
use crate::db::call::Call;
use crate::db::oauth_apps::{OauthApp, client_key};
use crate::health::verdict::{Reason, Status};
use crate::ids::{IntegrationId, OrganizationId};
use catalogue::Endpoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Claims the check of one integration.
#[derive(Serialize)]
pub struct ClaimCheck<'a> {
    pub p_id: IntegrationId,
    #[serde(flatten)]
    pub caller: Caller,
    /// A token that expires within this number of seconds is not returned.
    pub p_soon: u32,
    /// The request's id, for the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`ClaimCheck`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingCheck {
    /// The caller must check and settle.
    Claimed(CheckClaim),
    /// It has just been checked.
    Recent(Health),
    /// Another check is running; ask again.
    Busy,
    /// The provider asked for a pause.
    Paused {
        /// The number of seconds.
        seconds: u32,
    },
    /// Not found, or the user may not see it.
    Unknown,
}

#[derive(Deserialize)]
pub struct CheckClaim {
    pub id: IntegrationId,
    pub organization_id: OrganizationId,
    pub integration_type: String,
    /// The account that must answer, if it is known.
    pub account_id: Option<String>,
    /// The schedule, as it is stored.
    pub scan_schedule: Option<String>,
    /// The version of the config.
    pub version: String,
    /// The config as JSON text. None: its token expires soon and must be refreshed first.
    pub config: Option<String>,
    /// The app that the grant was issued to. None: the deployment's.
    pub oauth_app: Option<OauthApp>,
}

impl CheckClaim {
    /// The key of what is known about its client.
    pub fn client_key(&self) -> String {
        client_key(&self.integration_type, self.oauth_app.as_ref())
    }
}

/// An integration's health, as its members see it.
#[derive(Deserialize, Serialize)]
pub struct Health {
    pub status: String,
    /// The reason, unless it is active.
    pub status_reason: Option<String>,
    /// The last check (RFC 3339).
    pub last_checked_at: Option<String>,
    /// When the next check is due.
    pub next_check_at: Option<String>,
}

impl Call for ClaimCheck<'_> {
    const NAME: &'static str = "claim_check";
    type Outcome = ClaimingCheck;
}

#[derive(Serialize)]
pub struct ClaimDueChecks<'a> {
    /// The most rows to claim.
    pub p_limit: u32,
    pub p_types: &'a [&'a str],
    /// A token that expires within this number of seconds is not returned.
    pub p_soon: u32,
    /// The request's id, for the events.
    pub p_request_id: &'a str,
}

/// The outcome of [`ClaimDueChecks`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingDueChecks {
    /// The claimed rows, the longest due first; empty if nothing is due.
    Claimed { claims: Vec<CheckClaim> },
}

impl Call for ClaimDueChecks<'_> {
    const NAME: &'static str = "claim_due_checks";
    type Outcome = ClaimingDueChecks;
}

#[derive(Serialize)]
pub struct SettleChecks<'a> {
    pub p_results: &'a [CheckResult],
    #[serde(flatten)]
    pub caller: Caller,
    /// The request's id, for the events.
    pub p_request_id: &'a str,
    /// The types that the scanner has checks for: a slot of the schedule that passes becomes a run of it.
    pub p_scan_types: &'a [&'a str],
}

/// The result of a check.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    pub id: IntegrationId,
    /// The version of the config.
    pub version: String,
    /// The new status. None: the provider was not asked.
    pub status: Option<Status>,
    /// The reason, unless it is active.
    pub reason: Option<Reason>,
    /// The days of `forbidden` after which the user must reconnect.
    pub forbidden_days: Option<u32>,
    /// The schedule that `next_check_at` was computed from.
    pub schedule: Option<String>,
    /// When the next check is (RFC 3339).
    pub next_check_at: Option<String>,
}

/// The outcome of [`SettleChecks`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlingChecks {
    Ended { ends: BTreeMap<Uuid, CheckEnd> },
}

/// The outcome of one check.
#[derive(Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum CheckEnd {
    Checked(Health),
    /// The row has another credential by now; nothing was written.
    Changed,
    /// The claim was given back.
    Released,
    /// The integration was deleted.
    Gone,
    /// The row was locked for too long.
    Busy,
}

impl Call for SettleChecks<'_> {
    const NAME: &'static str = "settle_checks";
    type Outcome = SettlingChecks;
}

/// Stores a pause that a provider asked for.
#[derive(Serialize)]
pub struct PauseProvider {
    pub p_id: IntegrationId,
    /// The endpoint that asked for it.
    pub p_endpoint: Endpoint,
    /// The number of seconds, at most an hour.
    pub p_seconds: u32,
    /// How many organizations must be paused before the pause covers the type; None: it never does.
    pub p_organizations: Option<u32>,
}

/// The outcome of [`PauseProvider`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pausing {
    /// The pause covers the integration.
    Paused,
    /// The pause covers all integrations of the type.
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
