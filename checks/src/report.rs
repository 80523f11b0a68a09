//! Collects the results of a scan, one for each identity, and counts how many resources each check covered.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::entry::{Check, Entry};
use crate::outcome::{Outcome, Reason, ResourceId, Status};
use crate::run::Run;

/// The results of one scan.
#[derive(Debug, Clone, Default)]
pub struct Report {
    outcomes: BTreeMap<(String, ResourceId, String), Outcome>,
}

/// What one check saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// The check's id.
    pub check_id: String,
    /// Its version.
    pub check_version: u32,
    /// Fail if one fails; else unknown if one is, or a part was not looked at; else what the others are.
    pub status: Status,
    /// Why it is unknown or not applicable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The scopes that would make it known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Whether every list was read to its end and nothing in it is unknown: only then is a resource that is not listed gone.
    pub complete: bool,
    /// Results that passed.
    pub passed: usize,
    /// Results that failed.
    pub failed: usize,
    /// Results that are unknown.
    pub unknown: usize,
    /// Results that do not apply.
    pub not_applicable: usize,
}

impl Report {
    /// Adds results. A list that changes between two pages may show an item twice: the worse result stays.
    pub fn add(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            let key = (
                outcome.check_id.clone(),
                outcome.resource.clone(),
                outcome.item.clone(),
            );
            match self.outcomes.get(&key) {
                Some(known) if known.status >= outcome.status => {}
                _ => drop(self.outcomes.insert(key, outcome)),
            }
        }
    }

    /// The results, by check and resource.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.values()
    }

    /// What each check of the entry saw, when the run is over.
    pub fn coverage(&self, entry: &Entry, run: &Run) -> Vec<Coverage> {
        let incomplete = run.incomplete();
        let cover = |check: &Check| self.of_check(check, incomplete.get(&check.id).copied());
        entry.checks.iter().map(cover).collect()
    }

    fn of_check(&self, check: &Check, incomplete: Option<Reason>) -> Coverage {
        let of_check = || {
            self.outcomes
                .values()
                .filter(|outcome| outcome.check_id == check.id)
        };
        let count = |status| {
            of_check()
                .filter(|outcome| outcome.status == status)
                .count()
        };
        let first = |status| of_check().find(|outcome| outcome.status == status);
        let (passed, failed, unknown) = (
            count(Status::Pass),
            count(Status::Fail),
            count(Status::Unknown),
        );
        let not_applicable = count(Status::NotApplicable);
        let gap = incomplete.is_some_and(|reason| !reason.is_inapplicable());
        let status = if failed > 0 {
            Status::Fail
        } else if unknown > 0 || gap {
            Status::Unknown
        } else if first(Status::Manual).is_some() {
            Status::Manual
        } else if passed == 0 && (not_applicable > 0 || incomplete.is_some()) {
            Status::NotApplicable
        } else {
            Status::Pass
        };
        let reason = match status {
            Status::Unknown => first(status)
                .and_then(|outcome| outcome.reason)
                .or(incomplete),
            Status::NotApplicable => first(status)
                .and_then(|outcome| outcome.reason)
                .or(incomplete),
            _ => None,
        };
        let mut needs: Vec<String> = of_check()
            .flat_map(|outcome| outcome.needs.clone())
            .collect();
        needs.sort();
        needs.dedup();
        Coverage {
            check_id: check.id.clone(),
            check_version: check.version,
            status,
            reason,
            needs,
            complete: incomplete.is_none() && unknown == 0,
            passed,
            failed,
            unknown,
            not_applicable,
        }
    }
}
