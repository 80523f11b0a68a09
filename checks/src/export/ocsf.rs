//! OCSF 1.8.0, class 2003 Compliance Finding (<https://schema.ocsf.io/1.8.0/classes/compliance_finding>).

use serde_json::{Value, json};

use super::content::{Export, Row, message, word};
use crate::entry::Check;
use crate::outcome::Status;
use crate::severity::Severity;

const CLASS: u64 = 2003;

/// An open finding is created again by each scan; what passes or is unknown is no finding that could be open.
const CREATE: u64 = 1;

pub(super) fn write(export: &Export) -> Vec<Value> {
    let findings = export.results();
    findings
        .map(|(check, row)| finding(export, check, &row))
        .collect()
}

fn finding(export: &Export, check: &Check, row: &Row) -> Value {
    let outcome = row.outcome;
    // "Warning: the compliance check did not yield a result due to missing information."
    let (status_id, status) = match outcome.status {
        Status::Pass => (1, "Pass"),
        Status::Fail => (3, "Fail"),
        Status::Unknown | Status::Manual => (2, "Warning"),
        Status::NotApplicable => (99, "Not Applicable"),
    };
    let detail = match outcome.status {
        Status::Manual => "manual".to_owned(),
        _ => word(&outcome.reason),
    };
    let mut compliance = json!({
        "control": check.id,
        "desc": check.title,
        "status_id": status_id,
        "status": status,
        "standards": check.maps.keys().collect::<Vec<_>>(),
        "requirements": check.maps.values().flatten().collect::<Vec<_>>(),
    });
    if !detail.is_empty() {
        compliance["status_detail"] = detail.into();
    }
    let mut resource = json!({ "type": outcome.resource.kind, "uid": outcome.resource.id });
    if let Some(name) = &outcome.resource_name {
        resource["name"] = name.as_str().into();
    }
    let mut finding = json!({
        "activity_id": CREATE,
        "category_uid": 2,
        "class_uid": CLASS,
        "type_uid": CLASS * 100 + CREATE,
        "time": export.time * 1000,
        "severity_id": severity_id(outcome.severity),
        "message": message(check, outcome),
        "compliance": compliance,
        "finding_info": {
            "uid": export.fingerprint(outcome),
            "title": check.title,
            "desc": check.why,
        },
        "metadata": {
            "version": "1.8.0",
            "product": { "name": "scan", "vendor_name": "sealed-oauth-integrations", "version": export.version },
        },
        "remediation": {
            "desc": check.remediation.text,
            "references": check.remediation.url.iter().collect::<Vec<_>>(),
        },
        "resources": [resource],
        "unmapped": {
            "account": export.account,
            "type": export.entry.kind,
            "check_version": outcome.check_version,
            "item": outcome.item,
            "needs": outcome.needs,
            "evidence": outcome.evidence,
            "unverified_since": row.unverified_since,
            "integration_id": export.integration,
        },
    });
    if row.count != 1 {
        finding["count"] = row.count.into();
    }
    // 1 New, 3 Suppressed.
    match (outcome.status, row.mute) {
        (Status::Fail, None) => finding["status_id"] = 1.into(),
        (Status::Fail, Some(note)) => {
            finding["status_id"] = 3.into();
            finding["comment"] = note.into();
        }
        _ => {}
    }
    finding
}

fn severity_id(severity: Severity) -> u64 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}
