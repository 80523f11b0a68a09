//! Findings and their history, asked for with the user's own token.

use crate::db::cursor::{self, Keyed};
use crate::db::project::{Project, Reader};
use crate::error::Result;
use crate::findings::filter::Filter;
use crate::http::HttpRequest;
use crate::ids::{AssessmentId, FindingId, IntegrationId, OrganizationId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A finding, as the API shows it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(from = "Row")]
pub struct Finding {
    pub id: FindingId,
    pub organization_id: OrganizationId,
    /// The integration, which it may have outlived.
    pub integration_id: IntegrationId,
    pub integration_type: String,
    pub check_id: String,
    pub check_version: u32,
    /// What holds if the check passes; null of a check that is not known here.
    pub title: Option<String>,
    pub severity: String,
    state: String,
    ended_as: Option<String>,
    pub resource: Resource,
    /// What tells several findings of one resource apart.
    pub item: String,
    /// Until when it is muted.
    pub muted_until: Option<String>,
    /// Since when no run could look.
    pub unverified_since: Option<String>,
    pub unverified_reason: Option<String>,
    reopened: u32,
    first_seen_at: String,
    opened_at: String,
    ended_at: Option<String>,
    /// What was seen, by pointer; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Map<String, Value>>,
    #[serde(skip)]
    sort_key: String,
}

/// What a finding is about, by the provider's id.
#[derive(Debug, Serialize)]
pub struct Resource {
    pub r#type: String,
    pub id: String,
    /// For people.
    pub name: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    id: FindingId,
    organization_id: OrganizationId,
    integration_id: IntegrationId,
    integration_type: String,
    check_id: String,
    check_version: u32,
    severity: String,
    state: String,
    ended_as: Option<String>,
    resource_type: String,
    resource_id: String,
    resource_name: Option<String>,
    item: String,
    muted_until: Option<String>,
    unverified_since: Option<String>,
    unverified_reason: Option<String>,
    reopened: u32,
    first_seen_at: String,
    opened_at: String,
    ended_at: Option<String>,
    evidence: Option<Map<String, Value>>,
    sort_key: String,
}

impl From<Row> for Finding {
    fn from(row: Row) -> Self {
        let entry = checks::entry(&row.integration_type);
        let check = entry.and_then(|entry| entry.check(&row.check_id));
        Self {
            id: row.id,
            organization_id: row.organization_id,
            integration_id: row.integration_id,
            integration_type: row.integration_type,
            check_id: row.check_id,
            check_version: row.check_version,
            title: check.map(|check| check.title.clone()),
            severity: row.severity,
            state: row.state,
            ended_as: row.ended_as,
            resource: Resource {
                r#type: row.resource_type,
                id: row.resource_id,
                name: row.resource_name,
            },
            item: row.item,
            muted_until: row.muted_until,
            unverified_since: row.unverified_since,
            unverified_reason: row.unverified_reason,
            reopened: row.reopened,
            first_seen_at: row.first_seen_at,
            opened_at: row.opened_at,
            ended_at: row.ended_at,
            evidence: row.evidence,
            sort_key: row.sort_key,
        }
    }
}

impl Keyed for Finding {
    fn cursor(&self) -> String {
        self.sort_key.clone()
    }

    fn after(cursor: &str) -> Result<String> {
        cursor::after_sort_key(cursor)
    }
}

const SHOWN: &str = "id,organization_id,integration_id,integration_type,check_id,check_version,resource_type,resource_id,resource_name,item,severity,\
    sort_key,state,ended_as,unverified_since,unverified_reason,reopened,first_seen_at,opened_at,ended_at,muted_until";

/// Builds the request for findings, the most severe first, of those the youngest.
pub fn list_request(
    project: &Project,
    reader: &Reader,
    filter: &Filter,
    after: &str,
    limit: usize,
) -> HttpRequest {
    let (view, filter) = (filter.view(), filter.filter());
    let path = format!("{view}?select={SHOWN}{filter}{after}&order=sort_key&limit={limit}");
    project.read(reader, &path)
}

/// Whose findings an export has: those that are open, or that were when a run ended.
#[derive(Debug, Clone, Copy)]
pub enum OpenIn {
    /// Now, of an integration.
    Integration(IntegrationId),
    /// At the end of a run.
    Run(AssessmentId),
}

/// Builds the request for open findings with their evidence, in the order of lists.
pub fn open_request(
    project: &Project,
    reader: &Reader,
    open: OpenIn,
    after: &str,
    limit: usize,
) -> HttpRequest {
    let from = match open {
        OpenIn::Integration(id) => {
            format!("finding_list?integration_id=eq.{id}&state=eq.open")
        }
        OpenIn::Run(id) => format!("assessment_findings?assessment_id=eq.{id}"),
    };
    let path = format!("{from}&select={SHOWN},evidence{after}&order=sort_key&limit={limit}");
    project.read(reader, &path)
}

/// Builds the request for one finding with its evidence.
pub fn one_request(project: &Project, reader: &Reader, id: FindingId) -> HttpRequest {
    let path = format!("finding_list?select={SHOWN},evidence&id=eq.{id}");
    project.read(reader, &path)
}

/// A change of a finding, as the API shows it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Change {
    id: u64,
    occurred_at: String,
    assessment_id: Option<AssessmentId>,
    action: String,
    cause: Option<String>,
    reason: Option<String>,
}

impl Keyed for Change {
    fn cursor(&self) -> String {
        self.id.to_string()
    }

    fn after(cursor: &str) -> Result<String> {
        cursor::after_number(cursor)
    }
}

/// Builds the request for a finding's history, the newest first.
pub fn history_request(
    project: &Project,
    reader: &Reader,
    id: FindingId,
    after: &str,
    limit: usize,
) -> HttpRequest {
    let path = format!(
        "finding_events?select=id,occurred_at,assessment_id,action,cause,reason&finding_id=eq.{id}{after}&order=id.desc&limit={limit}"
    );
    project.read(reader, &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    #[test]
    fn a_finding_shows_its_checks_title_and_no_sort_key() {
        let finding = |check: &str| -> Finding {
            serde_json::from_value(json!({
                "id": ID, "organization_id": ID, "integration_id": ID, "integration_type": "supabase", "check_id": check, "check_version": 1,
                "severity": "high", "state": "open", "ended_as": null, "resource_type": "project", "resource_id": "p", "resource_name": null,
                "item": "", "muted_until": null, "unverified_since": null, "unverified_reason": null, "reopened": 0, "first_seen_at": "t",
                "opened_at": "t", "ended_at": null, "sort_key": "planted",
            }))
            .unwrap()
        };
        let known = finding("supabase_ssl_enforced");
        assert_eq!(known.cursor(), "planted");
        assert!(known.title.is_some());
        let text = serde_json::to_string(&known).unwrap();
        assert!(
            !text.contains("planted") && !text.contains("evidence"),
            "{text}"
        );
        assert_eq!(finding("supabase_removed").title, None);
    }
}
