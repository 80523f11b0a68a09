//! The runs of the scanner: requested, and listed with the user's own token.

use crate::db::call::Call;
use crate::db::cursor::{self, Keyed};
use crate::db::project::{Project, Reader};
use crate::error::Result;
use crate::findings::filter::Scope;
use crate::http::HttpRequest;
use crate::ids::{AssessmentId, IntegrationId, OrganizationId, UserId};
use checks::{Reason, Status};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
pub struct RequestScan<'a> {
    pub p_id: IntegrationId,
    pub p_user_id: UserId,
    /// The types that have checks.
    pub p_types: &'a [&'a str],
}

/// What becomes of [`RequestScan`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanRequested {
    /// A scanner will take it.
    Queued { id: AssessmentId, state: String },
    /// One has not ended yet.
    AlreadyOpen { id: AssessmentId, state: String },
    /// Nothing is checked of the type.
    NotAssessable,
    /// The credential does not work any more.
    ReconnectRequired,
    /// The user has requested too many.
    TooMany {
        /// How many seconds to wait.
        seconds: u32,
    },
    /// The integration is gone, or is not the user's.
    Unknown,
}

impl Call for RequestScan<'_> {
    const NAME: &'static str = "request_scan";
    type Outcome = ScanRequested;
}

/// A run, as the API shows it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(from = "Row")]
pub struct Assessment {
    pub id: AssessmentId,
    pub organization_id: OrganizationId,
    /// The integration, which it may have outlived.
    pub integration_id: IntegrationId,
    pub integration_type: String,
    /// The provider's id of the account.
    #[serde(skip)]
    pub account_id: Option<String>,
    trigger: String,
    slot: Option<String>,
    requested_by: Option<UserId>,
    state: String,
    outcome: Option<String>,
    /// Why it is not complete.
    pub reason: Option<String>,
    baseline: Option<bool>,
    requests: u32,
    results: Option<Results>,
    findings: Option<Changes>,
    queued_at: String,
    started_at: Option<String>,
    pub finished_at: Option<String>,
}

/// How many results it has, and of which kind.
#[derive(Debug, Serialize)]
struct Results {
    total: u32,
    passed: u32,
    failed: u32,
    unknown: u32,
    not_applicable: u32,
}

#[derive(Debug, Serialize)]
struct Changes {
    opened: u32,
    reopened: u32,
    resolved: u32,
    unverified: u32,
    muted: u32,
}

#[derive(Deserialize)]
struct Row {
    id: AssessmentId,
    organization_id: OrganizationId,
    integration_id: IntegrationId,
    integration_type: String,
    account_id: Option<String>,
    trigger: String,
    slot: Option<String>,
    requested_by: Option<UserId>,
    state: String,
    outcome: Option<String>,
    reason: Option<String>,
    baseline: Option<bool>,
    requests: u32,
    passed: Option<u32>,
    failed: Option<u32>,
    unknown: Option<u32>,
    not_applicable: Option<u32>,
    muted: Option<u32>,
    opened: Option<u32>,
    reopened: Option<u32>,
    resolved: Option<u32>,
    unverified: Option<u32>,
    queued_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
}

impl From<Row> for Assessment {
    fn from(row: Row) -> Self {
        let count = Option::<u32>::unwrap_or_default;
        let results = row.passed.map(|passed| {
            let (failed, unknown) = (count(row.failed), count(row.unknown));
            let not_applicable = count(row.not_applicable);
            Results {
                total: passed + failed + unknown + not_applicable,
                passed,
                failed,
                unknown,
                not_applicable,
            }
        });
        let findings = row.finished_at.as_ref().map(|_| Changes {
            opened: count(row.opened),
            reopened: count(row.reopened),
            resolved: count(row.resolved),
            unverified: count(row.unverified),
            muted: count(row.muted),
        });
        Self {
            id: row.id,
            organization_id: row.organization_id,
            integration_id: row.integration_id,
            integration_type: row.integration_type,
            account_id: row.account_id,
            trigger: row.trigger,
            slot: row.slot,
            requested_by: row.requested_by,
            state: row.state,
            outcome: row.outcome,
            reason: row.reason,
            baseline: row.baseline,
            requests: row.requests,
            results,
            findings,
            queued_at: row.queued_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

impl Keyed for Assessment {
    fn cursor(&self) -> String {
        cursor::of_moment(&self.queued_at, self.id.0)
    }

    fn after(cursor: &str) -> Result<String> {
        cursor::after_moment("queued_at", cursor)
    }
}

const SHOWN: &str = "id,organization_id,integration_id,integration_type,account_id,trigger,slot,requested_by,state,outcome,reason,baseline,requests,\
    passed,failed,unknown,not_applicable,muted,opened,reopened,resolved,unverified,queued_at,started_at,finished_at";

/// Builds the request for runs, the newest first.
pub fn list_request(
    project: &Project,
    reader: &Reader,
    scope: Scope,
    after: &str,
    limit: usize,
) -> HttpRequest {
    let filter = scope.filter();
    let path =
        format!("assessments?select={SHOWN}{filter}{after}&order=queued_at.desc,id&limit={limit}");
    project.read(reader, &path)
}

/// Builds the request for one run.
pub fn one_request(project: &Project, reader: &Reader, id: AssessmentId) -> HttpRequest {
    let path = format!("assessments?select={SHOWN}&id=eq.{id}");
    project.read(reader, &path)
}

/// Builds the request for the last run of an integration that has judged something.
pub fn judged_request(project: &Project, reader: &Reader, id: IntegrationId) -> HttpRequest {
    let path = format!(
        "assessments?select={SHOWN}&integration_id=eq.{id}&passed=not.is.null&order=queued_at.desc,id&limit=1"
    );
    project.read(reader, &path)
}

/// What one check saw in a run.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct CheckRun {
    pub check_id: String,
    pub check_version: u32,
    /// Fail if one fails, otherwise unknown if one is, or a part was not looked at, otherwise what the others are.
    pub status: Status,
    /// Why it is unknown or not applicable.
    pub reason: Option<String>,
    /// The scopes that would make it known.
    pub needs: Vec<String>,
    /// Whether all of it was looked at.
    pub complete: bool,
    pub passed: u32,
    pub failed: u32,
    /// Of how many nobody knows.
    pub unknown: u32,
    /// To how many it does not apply.
    pub not_applicable: u32,
}

impl CheckRun {
    /// The reason, as the checks know it; a text that they do not know is none.
    pub fn known_reason(&self) -> Option<Reason> {
        let text = self.reason.as_ref()?;
        serde_json::from_value(text.as_str().into()).ok()
    }
}

/// Builds the request for what the checks of a run saw: 500 at the most, in pages where the project answers fewer rows.
pub fn checks_request(
    project: &Project,
    reader: &Reader,
    id: AssessmentId,
    offset: usize,
) -> HttpRequest {
    let path = format!(
        "assessment_checks?select=check_id,check_version,status,reason,needs,complete,passed,failed,unknown,not_applicable\
         &assessment_id=eq.{id}&order=check_id&offset={offset}"
    );
    super::lists::counted(project, reader, &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query::Query;
    use crate::settings::tests::{complete, read as settings};
    use serde_json::{Value, json};

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn row(over: Value) -> Value {
        let mut row = json!({
            "id": ID, "organization_id": ID, "integration_id": ID, "integration_type": "supabase", "account_id": "planted", "trigger": "user",
            "slot": null, "requested_by": ID, "state": "done", "outcome": "complete", "reason": null, "baseline": true, "requests": 27,
            "passed": 20, "failed": 3, "unknown": 2, "not_applicable": 5, "muted": 1, "opened": 3, "reopened": 0, "resolved": 0, "unverified": 0,
            "queued_at": "2026-11-27T20:58:00.123456+00:00", "started_at": "t", "finished_at": "t",
        });
        for (name, value) in over.as_object().unwrap() {
            row[name] = value.clone();
        }
        row
    }

    #[test]
    fn a_run_shows_its_counts_with_their_denominator_and_a_gap_shows_none() {
        let shown = |over| {
            let run: Assessment = serde_json::from_value(row(over)).unwrap();
            serde_json::to_value(run).unwrap()
        };
        let judged = shown(json!({}));
        assert_eq!(judged["results"]["total"], 30);
        assert_eq!(judged["findings"]["opened"], 3);
        assert!(!judged.to_string().contains("planted"));
        let gap = shown(
            json!({ "outcome": "not_run", "reason": "invalid_grant", "passed": null, "opened": null, "unverified": 7 }),
        );
        assert_eq!(
            (&gap["results"], &gap["findings"]["unverified"]),
            (&Value::Null, &json!(7))
        );
        let queued = shown(
            json!({ "state": "queued", "outcome": null, "passed": null, "finished_at": null }),
        );
        assert_eq!(
            (&queued["results"], &queued["findings"]),
            (&Value::Null, &Value::Null)
        );
    }

    #[test]
    fn a_request_is_for_shown_columns_in_the_order_of_an_index() {
        let settings = settings(&complete()).unwrap();
        let query = Query::parse(&format!("integration_id={ID}"), &["integration_id"], "").unwrap();
        let scope = Scope::parse(&query).unwrap();
        let run: Assessment = serde_json::from_value(row(json!({}))).unwrap();
        let after = Assessment::after(&run.cursor()).unwrap();
        let url = list_request(
            &settings.supabase,
            &Reader::User("t".to_owned()),
            scope,
            &after,
            51,
        )
        .url;
        assert!(url.contains(&format!(
            "&integration_id=eq.{ID}&queued_at=lte.2026-11-27T20:58:00.123456Z&or=("
        )));
        assert!(url.ends_with("&order=queued_at.desc,id&limit=51"), "{url}");
        assert!(!url.contains("ended_by"));
    }
}
