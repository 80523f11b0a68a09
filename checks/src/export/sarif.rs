//! SARIF 2.1.0, section numbers of the OASIS standard. Written as JSON: the crate `serde-sarif` would generate the whole schema's types
//! in each build, for the twenty names here. A test validates the result against that schema.

use serde_json::{Value, json};

use super::content::{Export, Row, message, word};
use crate::entry::Check;
use crate::outcome::Status;
use crate::severity::{Severity, SeverityOf};

pub(super) fn write(exports: &[Export]) -> Value {
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": exports.iter().map(run).collect::<Vec<_>>(),
    })
}

/// 3.14, run. Its id (3.17.3) tells the accounts apart.
fn run(export: &Export) -> Value {
    let checks = &export.entry.checks;
    let results: Vec<Value> = export
        .results()
        .map(|(check, row)| result(export, check, &row))
        .collect();
    let rules: Vec<Value> = checks.iter().map(rule).collect();
    let unseen = export
        .coverage
        .iter()
        .filter(|check| check.status == Status::Unknown);
    let notifications: Vec<Value> = unseen
        .map(|check| {
            let text = format!("{} could not be judged: {}", check.check_id, word(&check.reason));
            json!({ "level": "warning", "message": { "text": text }, "associatedRule": { "id": check.check_id } })
        })
        .collect();
    json!({
        "automationDetails": { "id": format!("{}/{}/", export.entry.kind, export.integration.unwrap_or(export.account)) },
        "tool": { "driver": {
            "name": format!("scan {}", export.entry.kind),
            "semanticVersion": export.version,
            "informationUri": export.entry.docs,
            "rules": rules,
        } },
        "invocations": [{
            "executionSuccessful": export.ended.is_none(),
            "toolExecutionNotifications": notifications,
        }],
        "results": results,
    })
}

/// 3.49, reportingDescriptor.
fn rule(check: &Check) -> Value {
    let severity = match &check.severity {
        SeverityOf::Fixed(severity) => *severity,
        SeverityOf::Map(map) => map.map.values().max().copied().unwrap_or(Severity::High),
    };
    let mut rule = json!({
        "id": check.id,
        "shortDescription": { "text": check.title },
        "fullDescription": { "text": check.why },
        "help": { "text": check.remediation.text },
        "defaultConfiguration": { "level": level(severity) },
        "properties": { "security-severity": score(severity), "version": check.version, "state": check.state, "maps": check.maps },
    });
    if let Some(url) = &check.remediation.url {
        rule["helpUri"] = url.as_str().into();
    }
    rule
}

/// 3.27, result. `kind` (3.27.9): `open` is what could not be decided; only `fail` has a level (3.27.10).
fn result(export: &Export, check: &Check, row: &Row) -> Value {
    let outcome = row.outcome;
    let (kind, level) = match outcome.status {
        Status::Pass => ("pass", "none"),
        Status::Fail => ("fail", level(outcome.severity)),
        Status::Unknown => ("open", "none"),
        Status::NotApplicable => ("notApplicable", "none"),
        Status::Manual => ("review", "none"),
    };
    let resource = &outcome.resource;
    let mut place = json!({
        "fullyQualifiedName": format!("{}/{}/{}/{}", export.entry.kind, export.account, resource.kind, resource.id),
        "kind": "resource",
    });
    if let Some(name) = &outcome.resource_name {
        place["name"] = name.as_str().into();
    }
    let mut result = json!({
        "ruleId": check.id,
        "ruleIndex": export.entry.checks.iter().position(|other| other.id == check.id),
        "kind": kind,
        "level": level,
        "message": { "text": message(check, outcome) },
        "locations": [{ "logicalLocations": [place] }],
        "partialFingerprints": { "checks/v1": export.fingerprint(outcome) },
        "properties": { "severity": outcome.severity, "reason": word(&outcome.reason), "needs": outcome.needs, "evidence": outcome.evidence },
    });
    if row.count != 1 {
        result["occurrenceCount"] = row.count.into();
    }
    if let Some(since) = row.unverified_since {
        result["properties"]["unverified_since"] = since.into();
    }
    if let Some(note) = row.mute {
        result["suppressions"] =
            json!([{ "kind": "external", "status": "accepted", "justification": note }]);
    }
    result
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// The number that code hosts sort by.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "3.0",
        Severity::Info => "0.0",
    }
}
