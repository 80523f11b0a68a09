//! Builds an export: the open findings of each integration, and for each check of a run how many resources passed, are unknown, or do not
//! apply. Single resources that passed are not stored.

use crate::db::assessments::{Assessment, CheckRun};
use crate::db::cursor;
use crate::db::findings::Finding;
use crate::db::mutes::Mute;
use crate::error::{ClientError, Result};
use crate::findings::filter::severity;
use crate::ids::IntegrationId;
use checks::{
    Check, Coverage, Entry, Export, Format, Outcome, Over, Reason, Remediation, Resource,
    ResourceId, Row, Severity, SeverityOf, State, Status,
};
use chrono::DateTime;
use std::collections::BTreeMap;

/// How many integrations and findings an answer holds, and how many bytes of evidence: about a tenth of the memory that the worker has.
pub const INTEGRATIONS_MAX: usize = 10;
/// Of findings.
pub const FINDINGS_MAX: usize = 2_000;
/// Of evidence.
pub const EVIDENCE_MAX: usize = 2 * 1024 * 1024;

/// Reads `format`.
pub fn format(text: Option<&str>) -> Result<Format> {
    Ok(match text {
        None | Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        Some("sarif") => Format::Sarif,
        Some("ocsf") => Format::Ocsf,
        Some(_) => {
            return Err(ClientError::Invalid("format must be json, csv, sarif or ocsf").into());
        }
    })
}

/// The name of a file in a format.
pub fn file_name(format: Format) -> &'static str {
    match format {
        Format::Json => "findings.json",
        Format::Csv => "findings.csv",
        Format::Sarif => "findings.sarif",
        Format::Ocsf => "findings.ocsf.json",
    }
}

/// Where an answer ended: after an integration, or after one of its findings.
#[derive(Debug, PartialEq, Eq)]
pub struct Cursor {
    pub integration: IntegrationId,
    pub finding: Option<String>,
}

impl Cursor {
    pub fn parse(text: &str) -> Result<Self> {
        let (id, finding) = match text.split_once('.') {
            Some((id, finding)) => (id, Some(finding)),
            None => (text, None),
        };
        let malformed = |_| ClientError::Invalid("cursor must be that of an earlier answer");
        if let Some(finding) = finding {
            cursor::after_sort_key(finding)?;
        }
        Ok(Self {
            integration: IntegrationId::parse(id).map_err(malformed)?,
            finding: finding.map(str::to_owned),
        })
    }
}

/// What is exported of one integration.
#[derive(Debug)]
pub struct Section {
    entry: Entry,
    integration: String,
    account: String,
    time: i64,
    ended: Option<Reason>,
    coverage: Vec<Coverage>,
    results: Vec<Exported>,
}

#[derive(Debug)]
struct Exported {
    outcome: Outcome,
    count: u64,
    unverified_since: Option<String>,
    mute: Option<String>,
}

impl Section {
    /// Of an integration with this entry. `run` is the last one that judged something, without its checks where an earlier answer had them.
    pub fn new(
        entry: &Entry,
        (integration, account): (IntegrationId, Option<String>),
        run: Option<&(Assessment, Vec<CheckRun>)>,
        findings: Vec<Finding>,
        mutes: &[Mute],
        now: i64,
    ) -> Self {
        let mut section = Self {
            entry: entry.clone(),
            integration: integration.to_string(),
            account: account.unwrap_or_default(),
            time: run.and_then(|(run, _)| finished(run)).unwrap_or(now),
            ended: match run {
                None => Some(Reason::NotScanned),
                Some((run, _)) => run.reason.as_ref().and_then(|text| reason(text)),
            },
            coverage: Vec::new(),
            results: Vec::new(),
        };
        match run {
            Some((_, checks)) => section.coverage = checks.iter().map(coverage).collect(),
            None => section.coverage = entry.checks.iter().map(not_scanned).collect(),
        }
        for check in section.coverage.clone() {
            section.know(&check.check_id, check.check_version);
            section.summarize(&check);
        }
        for finding in findings {
            let covering = mutes.iter().find(|mute| {
                mute.check_id == finding.check_id
                    && mute.covers(integration, &finding.resource.id, &finding.item)
            });
            section.add(finding, covering);
        }
        section
    }

    /// As the crate `checks` writes it.
    pub fn export(&self) -> Export<'_> {
        let rows = self.results.iter().map(|result| Row {
            outcome: &result.outcome,
            count: result.count,
            unverified_since: result.unverified_since.as_deref(),
            mute: result.mute.as_deref(),
        });
        Export {
            entry: &self.entry,
            integration: Some(&self.integration),
            account: &self.account,
            rows: rows.collect(),
            coverage: &self.coverage,
            time: self.time,
            ended: self.ended,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn add(&mut self, finding: Finding, mute: Option<&Mute>) {
        self.know(&finding.check_id, finding.check_version);
        let outcome = Outcome {
            check_id: finding.check_id,
            check_version: finding.check_version,
            resource: ResourceId {
                kind: finding.resource.r#type,
                id: finding.resource.id,
            },
            resource_name: finding.resource.name,
            item: finding.item,
            status: Status::Fail,
            reason: finding.unverified_reason.as_deref().and_then(reason),
            needs: Vec::new(),
            severity: severity(&finding.severity).unwrap_or(Severity::High),
            evidence: finding.evidence.unwrap_or_default().into_iter().collect(),
        };
        self.results.push(Exported {
            outcome,
            count: 1,
            unverified_since: finding.unverified_since,
            mute: mute.map(|mute| mute.note.clone()),
        });
    }

    /// The counts of a check, except of failures: each failure is a finding.
    fn summarize(&mut self, check: &Coverage) {
        let gap = !check.complete && check.reason.is_some_and(|reason| !reason.is_inapplicable());
        for (status, count) in [
            (Status::Pass, check.passed),
            (Status::Unknown, check.unknown.max(usize::from(gap))),
            (Status::NotApplicable, check.not_applicable),
            (Status::Manual, usize::from(check.status == Status::Manual)),
        ] {
            if count == 0 {
                continue;
            }
            let known = self.entry.check(&check.check_id);
            let outcome = Outcome {
                check_id: check.check_id.clone(),
                check_version: check.check_version,
                resource: ResourceId {
                    kind: "account".to_owned(),
                    id: self.account.clone(),
                },
                resource_name: None,
                item: word(status).to_owned(),
                status,
                reason: check.reason.filter(|reason| match status {
                    Status::Unknown => !reason.is_inapplicable(),
                    Status::NotApplicable => reason.is_inapplicable(),
                    _ => false,
                }),
                needs: match status {
                    Status::Unknown => check.needs.clone(),
                    _ => Vec::new(),
                },
                severity: known.map_or(Severity::Info, |check| match &check.severity {
                    SeverityOf::Fixed(severity) => *severity,
                    SeverityOf::Map(map) => {
                        map.map.values().max().copied().unwrap_or(Severity::High)
                    }
                }),
                evidence: BTreeMap::new(),
            };
            self.results.push(Exported {
                outcome,
                count: count as u64,
                unverified_since: None,
                mute: None,
            });
        }
    }

    /// A check that this version does not know, because another has judged: nothing of it is left out.
    fn know(&mut self, id: &str, version: u32) {
        if self.entry.checks.iter().any(|check| check.id == id) {
            return;
        }
        let known = self.entry.check(id).cloned();
        let check = known.unwrap_or_else(|| Check {
            id: id.to_owned(),
            version,
            state: State::Documented,
            was: Vec::new(),
            read: None,
            over: Over::Answer,
            filter: None,
            unknown: None,
            pass: None,
            alternative: None,
            count: None,
            resource: Resource {
                kind: "account".to_owned(),
                id: String::new(),
                name: None,
            },
            item: None,
            severity: SeverityOf::Fixed(Severity::High),
            title: format!("{id} passes"),
            why: "This version does not know the check.".to_owned(),
            basis: None,
            remediation: Remediation {
                text: "Ask the operator, who has deployed two versions.".to_owned(),
                url: None,
            },
            evidence: Vec::new(),
            maps: BTreeMap::new(),
            supersedes: Vec::new(),
        });
        let id = id.to_owned();
        self.entry.checks.push(Check { id, ..check });
    }
}

/// When a run ended, in Unix seconds.
pub fn finished(run: &Assessment) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(run.finished_at.as_deref()?).ok()?;
    Some(time.timestamp())
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::NotApplicable => "not_applicable",
        Status::Manual => "manual",
        Status::Unknown => "unknown",
        Status::Fail => "fail",
    }
}

/// The reason of this name; what ended a run without a scanner's word is none of a check's.
fn reason(text: &str) -> Option<Reason> {
    serde_json::from_value(text.into()).ok()
}

fn coverage(run: &CheckRun) -> Coverage {
    let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
    Coverage {
        check_id: run.check_id.clone(),
        check_version: run.check_version,
        status: run.status,
        reason: run.known_reason(),
        needs: run.needs.clone(),
        complete: run.complete,
        passed: count(run.passed),
        failed: count(run.failed),
        unknown: count(run.unknown),
        not_applicable: count(run.not_applicable),
    }
}

fn not_scanned(check: &Check) -> Coverage {
    Coverage {
        check_id: check.id.clone(),
        check_version: check.version,
        status: Status::Unknown,
        reason: Some(Reason::NotScanned),
        needs: Vec::new(),
        complete: false,
        passed: 0,
        failed: 0,
        unknown: 1,
        not_applicable: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn finding(check: &str, over: Value) -> Finding {
        let mut row = json!({
            "id": ID, "organization_id": ID, "integration_id": ID, "integration_type": "supabase", "check_id": check, "check_version": 1,
            "severity": "high", "state": "open", "ended_as": null, "resource_type": "project", "resource_id": "=1+1", "resource_name": null,
            "item": "", "muted_until": null, "unverified_since": null, "unverified_reason": null, "reopened": 0, "first_seen_at": "t",
            "opened_at": "t", "ended_at": null, "sort_key": "k", "evidence": { "/a": 1 },
        });
        for (name, value) in over.as_object().unwrap() {
            row[name] = value.clone();
        }
        serde_json::from_value(row).unwrap()
    }

    fn run(check: &str, status: &str, counts: [u32; 3], reason: Option<&str>) -> CheckRun {
        let [passed, unknown, not_applicable] = counts;
        serde_json::from_value(json!({
            "check_id": check, "check_version": 1, "status": status, "reason": reason, "needs": [], "complete": unknown == 0,
            "passed": passed, "failed": 0, "unknown": unknown, "not_applicable": not_applicable,
        }))
        .unwrap()
    }

    fn section(run: Option<Vec<CheckRun>>, findings: Vec<Finding>, mutes: &[Mute]) -> Section {
        let entry = checks::entry("supabase").unwrap();
        let run = run.map(|checks| {
            let run = json!({
                "id": ID, "organization_id": ID, "integration_id": ID, "integration_type": "supabase", "trigger": "user", "state": "done",
                "requests": 1, "queued_at": "t", "finished_at": "2026-11-27T00:00:00+00:00",
            });
            (serde_json::from_value::<Assessment>(run).unwrap(), checks)
        });
        let integration = (
            IntegrationId::parse(ID).unwrap(),
            Some("account".to_owned()),
        );
        Section::new(entry, integration, run.as_ref(), findings, mutes, 7)
    }

    fn results(section: &Section) -> Vec<Value> {
        let json = Format::Json.write(&[section.export()]);
        let json: Value = serde_json::from_str(&json).unwrap();
        json["accounts"][0]["results"].as_array().unwrap().clone()
    }

    #[test]
    fn passes_and_unknowns_are_exported_with_their_number() {
        let runs = vec![
            run("supabase_ssl_enforced", "pass", [3, 0, 0], None),
            run(
                "supabase_auth_email_confirmed",
                "unknown",
                [2, 1, 1],
                Some("forbidden"),
            ),
        ];
        let muted: Mute = serde_json::from_value(json!({
            "id": ID, "organization_id": ID, "integration_id": null, "check_id": "supabase_ssl_enforced", "resource_id": null, "item": null,
            "reason": "wont_fix", "note": "the note", "created_by": ID, "created_at": "t", "expires_at": "t", "ended_at": null, "ended_by": null,
        }))
        .unwrap();
        let unverified = json!({ "unverified_since": "since", "unverified_reason": "limited" });
        let findings = vec![
            finding("supabase_ssl_enforced", json!({})),
            finding("a_later_version_s", unverified),
        ];
        let told: Vec<_> = results(&section(Some(runs), findings, &[muted]))
            .iter()
            .map(|result| {
                (
                    result["check_id"].as_str().unwrap().to_owned(),
                    result["status"].as_str().unwrap().to_owned(),
                    result["count"].as_u64().unwrap_or(1),
                    result["reason"].as_str().map(str::to_owned),
                    result["mute"]
                        .as_str()
                        .or(result["unverified_since"].as_str())
                        .map(str::to_owned),
                )
            })
            .collect();
        let of = |check: &str, status: &str, count, reason: Option<&str>, more: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            (
                check.to_owned(),
                status.to_owned(),
                count,
                owned(reason),
                owned(more),
            )
        };
        assert_eq!(
            told,
            [
                of("supabase_ssl_enforced", "pass", 3, None, None),
                of("supabase_auth_email_confirmed", "pass", 2, None, None),
                of(
                    "supabase_auth_email_confirmed",
                    "unknown",
                    1,
                    Some("forbidden"),
                    None
                ),
                of(
                    "supabase_auth_email_confirmed",
                    "not_applicable",
                    1,
                    None,
                    None
                ),
                of("supabase_ssl_enforced", "fail", 1, None, Some("the note")),
                of(
                    "a_later_version_s",
                    "fail",
                    1,
                    Some("limited"),
                    Some("since")
                ),
            ]
        );
    }

    #[test]
    fn what_was_never_scanned_is_unknown() {
        let results = results(&section(None, Vec::new(), &[]));
        let entry = checks::entry("supabase").unwrap();
        assert_eq!(results.len(), entry.checks.len());
        for result in results {
            assert_eq!(result["status"], "unknown");
            assert_eq!(result["reason"], "not_scanned");
        }
    }

    #[test]
    fn no_cell_of_the_csv_is_a_formula() {
        let findings = vec![finding("supabase_ssl_enforced", json!({}))];
        let section = section(Some(Vec::new()), findings, &[]);
        let csv = Format::Csv.write(&[section.export(), section.export()]);
        assert_eq!(csv.lines().count(), 3);
        assert!(
            csv.contains("\"'=1+1\"") && !csv.contains("\"=1+1\""),
            "{csv}"
        );
    }

    #[test]
    fn a_cursor_names_an_integration_and_perhaps_a_finding() {
        let key = format!("1{}{ID}", "0".repeat(14));
        let read = |text: &str| Cursor::parse(text).map(|cursor| cursor.finding);
        assert_eq!(read(ID).unwrap(), None);
        assert_eq!(read(&format!("{ID}.{key}")).unwrap(), Some(key));
        for wrong in [
            "",
            "x",
            ".",
            &format!("{ID}."),
            &format!("{ID}.x"),
            &format!("{ID},or"),
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
