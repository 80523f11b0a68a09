//! Prints the results on a terminal: failures first, then what is unknown. Words distinguish them, not colours.

use std::fmt::Write;

use checks::{Coverage, Entry, Outcome, Status};

use crate::drive::Scanned;
use crate::shown::shown;

/// The most results that one check shows.
const SHOWN: usize = 20;

/// The table, with a newline at its end.
pub fn write(entry: &Entry, scanned: &Scanned) -> String {
    let mut text = format!("{}, account {}\n", entry.name, shown(&scanned.account));
    let order = [
        Status::Fail,
        Status::Unknown,
        Status::Manual,
        Status::NotApplicable,
        Status::Pass,
    ];
    for status in order {
        let mut checks: Vec<&Coverage> = scanned
            .coverage
            .iter()
            .filter(|check| check.status == status)
            .collect();
        checks.sort_by_key(|check| std::cmp::Reverse(severity(scanned, check)));
        for check in checks {
            line(&mut text, entry, scanned, check);
        }
    }
    let count = |status| {
        scanned
            .coverage
            .iter()
            .filter(|check| check.status == status)
            .count()
    };
    let _ = writeln!(
        text,
        "\n{} checks: {} pass, {} fail, {} unknown, {} do not apply, {} for a person to look at; {} requests",
        scanned.coverage.len(),
        count(Status::Pass),
        count(Status::Fail),
        count(Status::Unknown),
        count(Status::NotApplicable),
        count(Status::Manual),
        scanned.requests,
    );
    if let Some(reason) = scanned.ended {
        let _ = writeln!(text, "The scan ended before its end: {}", word(&reason));
    }
    text
}

fn line(text: &mut String, entry: &Entry, scanned: &Scanned, check: &Coverage) {
    let (mark, shows) = match check.status {
        Status::Fail => ("FAIL", true),
        Status::Unknown => ("unknown", true),
        Status::Manual => ("manual", true),
        Status::NotApplicable => ("n/a", false),
        Status::Pass => ("pass", false),
    };
    let known = entry.checks.iter().find(|known| known.id == check.check_id);
    let severity = severity(scanned, check).map(|severity| word(&severity));
    let severity = severity.filter(|_| check.status == Status::Fail);
    let _ = writeln!(
        text,
        "{mark:<8}{:<9}{}",
        severity.unwrap_or_default(),
        check.check_id
    );
    let Some(known) = known.filter(|_| shows) else {
        return;
    };
    let _ = writeln!(text, "{:17}{}", "", known.title);
    if check.status == Status::Unknown {
        let needs = match check.needs.is_empty() {
            true => String::new(),
            false => format!("; needs {}", check.needs.join(", ")),
        };
        let reason = check.reason.map(|reason| word(&reason)).unwrap_or_default();
        let _ = writeln!(text, "{:17}could not be seen: {reason}{needs}", "");
        return;
    }
    let failed: Vec<&Outcome> = results(scanned, check)
        .filter(|one| one.status == Status::Fail)
        .collect();
    for outcome in failed.iter().take(SHOWN) {
        let name = outcome
            .resource_name
            .as_ref()
            .unwrap_or(&outcome.resource.id);
        let _ = writeln!(
            text,
            "{:17}- {} {} {}",
            "",
            shown(&outcome.resource.kind),
            shown(name),
            shown(&outcome.item)
        );
    }
    if failed.len() > SHOWN {
        let _ = writeln!(text, "{:17}- and {} more", "", failed.len() - SHOWN);
    }
    let _ = writeln!(text, "{:17}{}", "", known.remediation.text);
}

fn results<'a>(scanned: &'a Scanned, check: &Coverage) -> impl Iterator<Item = &'a Outcome> {
    let id = check.check_id.clone();
    scanned
        .report
        .outcomes()
        .filter(move |outcome| outcome.check_id == id)
}

fn severity(scanned: &Scanned, check: &Coverage) -> Option<checks::Severity> {
    let results = results(scanned, check).filter(|outcome| outcome.status == check.status);
    results.map(|outcome| outcome.severity).max()
}

/// The word that JSON has for a value.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
