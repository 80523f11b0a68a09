//! Our own JSON.

use serde_json::{Value, json};

use super::content::Export;

pub(super) fn write(export: &Export) -> Value {
    let results = export.results().map(|(check, row)| {
        let mut result = json!(row.outcome);
        result["fingerprint"] = export.fingerprint(row.outcome).into();
        result["title"] = check.title.as_str().into();
        result["remediation"] = check.remediation.text.as_str().into();
        if row.count != 1 {
            result["count"] = row.count.into();
        }
        if let Some(since) = row.unverified_since {
            result["unverified_since"] = since.into();
        }
        if let Some(note) = row.mute {
            result["mute"] = note.into();
        }
        result
    });
    let mut account = json!({
        "type": export.entry.kind,
        "account": export.account,
        "time": export.time,
        "version": export.version,
        "catalogue": crate::catalogue_hash(),
        "ended": export.ended,
        "checks": export.coverage,
        "results": results.collect::<Vec<_>>(),
    });
    if let Some(id) = export.integration {
        account["integration_id"] = id.into();
    }
    account
}
