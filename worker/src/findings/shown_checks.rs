//! The catalogue of checks as the API shows it, and which of them a grant allows.

use crate::db::assessments::CheckRun;
use checks::{Check, Entry, Reason, Severity, SeverityOf, State, Status};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How a failure is put right.
#[derive(Debug, Serialize)]
pub struct Remediation<'a> {
    text: &'a str,
    url: Option<&'a str>,
}

/// A check, as the API shows it.
#[derive(Debug, Serialize)]
pub struct ShownCheck<'a> {
    id: &'a str,
    version: u32,
    integration_type: &'a str,
    title: &'a str,
    /// What happens otherwise.
    pub why: &'a str,
    /// The worst, where an item says which.
    severity: Severity,
    state: State,
    /// A person must look: nothing is asked.
    manual: bool,
    needs: BTreeSet<&'a str>,
    /// How a failure is put right.
    pub remediation: Remediation<'a>,
    basis: Option<&'a str>,
    /// The controls of standards.
    pub maps: &'a BTreeMap<String, Vec<String>>,
}

/// The checks of an entry.
pub fn of_entry(entry: &Entry) -> impl Iterator<Item = ShownCheck<'_>> {
    entry.checks.iter().map(|check| shown(entry, check))
}

/// A check of an entry.
pub fn shown<'a>(entry: &'a Entry, check: &'a Check) -> ShownCheck<'a> {
    ShownCheck {
        id: &check.id,
        version: check.version,
        integration_type: &entry.kind,
        title: &check.title,
        why: &check.why,
        severity: worst(check),
        state: check.state,
        manual: check.read.is_none(),
        needs: entry.needs(check),
        remediation: Remediation {
            text: &check.remediation.text,
            url: check.remediation.url.as_deref(),
        },
        basis: check.basis.as_deref(),
        maps: &check.maps,
    }
}

fn worst(check: &Check) -> Severity {
    match &check.severity {
        SeverityOf::Fixed(severity) => *severity,
        SeverityOf::Map(map) => map.map.values().max().copied().unwrap_or(Severity::High),
    }
}

/// How many of an entry's checks a scan could evaluate.
#[derive(Debug, Serialize)]
pub struct Coverage<'a> {
    /// How many checks there are: the others' denominator.
    pub total: usize,
    /// How many have all scopes that they need, as far as known.
    pub runnable: usize,
    /// How many need scopes that are not granted.
    pub missing: usize,
    /// How many a person must check.
    pub manual: usize,
    /// The scopes that are missing.
    pub missing_scopes: BTreeSet<&'a str>,
    pub checks: Vec<CoveredCheck<'a>>,
}

/// What is known of one check before a scan.
#[derive(Debug, Serialize)]
pub struct CoveredCheck<'a> {
    id: &'a str,
    title: &'a str,
    severity: Severity,
    status: CoverageStatus,
    needs: BTreeSet<&'a str>,
    missing: BTreeSet<&'a str>,
    /// What the last run that judged something saw.
    last: Option<LastSeen<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum CoverageStatus {
    Runnable,
    Missing,
    Manual,
}

#[derive(Debug, Serialize)]
struct LastSeen<'a> {
    status: Status,
    reason: Option<&'a str>,
}

/// What a scan could see: by the scopes that were requested, if they are known, and by what the last run could not.
pub fn coverage<'a>(
    entry: &'a Entry,
    requested: Option<&[String]>,
    last: &'a [CheckRun],
) -> Coverage<'a> {
    let checks = entry.checks.iter().map(|check| {
        let last = last.iter().find(|run| run.check_id == check.id);
        covered(entry, check, requested, last)
    });
    let checks: Vec<CoveredCheck> = checks.collect();
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    Coverage {
        total: checks.len(),
        runnable: count(CoverageStatus::Runnable),
        missing: count(CoverageStatus::Missing),
        manual: count(CoverageStatus::Manual),
        missing_scopes: checks
            .iter()
            .flat_map(|check| check.missing.clone())
            .collect(),
        checks,
    }
}

fn covered<'a>(
    entry: &'a Entry,
    check: &'a Check,
    requested: Option<&[String]>,
    last: Option<&'a CheckRun>,
) -> CoveredCheck<'a> {
    let needs = entry.needs(check);
    let mut missing: BTreeSet<&str> = match requested {
        Some(requested) => needs
            .iter()
            .copied()
            .filter(|scope| !requested.iter().any(|granted| granted == scope))
            .collect(),
        None => BTreeSet::new(),
    };
    let refused = last.filter(|run| {
        let wants_permission = matches!(
            run.known_reason(),
            Some(Reason::Forbidden | Reason::Hidden | Reason::NoScope)
        );
        run.status == Status::Unknown && wants_permission
    });
    missing.extend(
        refused
            .into_iter()
            .flat_map(|run| &run.needs)
            .map(String::as_str),
    );
    CoveredCheck {
        id: &check.id,
        title: &check.title,
        severity: worst(check),
        status: if check.read.is_none() {
            CoverageStatus::Manual
        } else if missing.is_empty() {
            CoverageStatus::Runnable
        } else {
            CoverageStatus::Missing
        },
        needs,
        missing,
        last: last.map(|run| LastSeen {
            status: run.status,
            reason: run.reason.as_deref(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // serde_json's `arbitrary_precision`, which this crate asks for, must not change how an entry is read.
    #[test]
    fn every_check_of_the_catalogue_is_shown_with_what_it_needs() {
        let all = checks::entries();
        assert_eq!(all.len(), 7);
        for entry in all {
            for check in of_entry(entry) {
                let text = serde_json::to_value(&check).unwrap();
                assert!(
                    text["remediation"]["text"]
                        .as_str()
                        .is_some_and(|text| !text.is_empty())
                );
                assert_eq!(text["manual"] == true, check.manual);
            }
        }
        let supabase = checks::entry("supabase").unwrap();
        let check = supabase.check("supabase_ssl_enforced").unwrap();
        assert!(supabase.needs(check).contains("database:read"));
    }

    #[test]
    fn a_scope_that_was_not_requested_is_missing_and_so_is_one_that_a_run_was_refused_for() {
        let entry = checks::entry("gitlab").unwrap();
        let unknown = coverage(entry, None, &[]);
        assert_eq!(
            (unknown.missing, unknown.runnable + unknown.manual),
            (0, unknown.total)
        );
        let requested = ["read_user".to_owned()];
        let narrow = coverage(entry, Some(&requested), &[]);
        assert!(narrow.missing > 0);
        assert_eq!(narrow.missing_scopes, BTreeSet::from(["read_api"]));
        assert_eq!(
            narrow.missing + narrow.runnable + narrow.manual,
            narrow.total
        );

        let id = &entry
            .checks
            .iter()
            .find(|check| check.read.is_some())
            .unwrap()
            .id;
        let run = |status: &str, reason: Option<&str>| -> CheckRun {
            serde_json::from_value(json!({
                "check_id": id, "check_version": 1, "status": status, "reason": reason, "needs": ["read_api"], "complete": false,
                "passed": 0, "failed": 0, "unknown": 1, "not_applicable": 0,
            }))
            .unwrap()
        };
        for (status, reason, missing) in [
            ("unknown", Some("forbidden"), 1),
            ("unknown", Some("limited"), 0),
            ("unknown", Some("a later scanner's"), 0),
            ("pass", None, 0),
        ] {
            let runs = [run(status, reason)];
            assert_eq!(
                coverage(entry, None, &runs).missing,
                missing,
                "{status} {reason:?}"
            );
        }
    }
}
