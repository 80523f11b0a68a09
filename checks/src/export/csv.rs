//! CSV (RFC 4180). Every cell is quoted, which is all that a writer needs: no crate for that.

use super::content::{Export, word};

const HEAD: [&str; 20] = [
    "check_id",
    "check_version",
    "severity",
    "status",
    "reason",
    "needs",
    "resource_type",
    "resource_id",
    "resource_name",
    "item",
    "title",
    "remediation",
    "evidence",
    "mute",
    "fingerprint",
    "count",
    "unverified_since",
    "type",
    "account",
    "integration_id",
];

pub(super) fn write(exports: &[Export]) -> String {
    let lines = exports.iter().flat_map(lines);
    std::iter::once(line(&HEAD.map(str::to_owned)))
        .chain(lines)
        .collect()
}

fn lines(export: &Export) -> Vec<String> {
    let lines = export.results().map(|(check, row)| {
        let outcome = row.outcome;
        let evidence = match outcome.evidence.is_empty() {
            true => String::new(),
            false => serde_json::json!(outcome.evidence).to_string(),
        };
        line(&[
            outcome.check_id.clone(),
            outcome.check_version.to_string(),
            word(&outcome.severity),
            word(&outcome.status),
            word(&outcome.reason),
            outcome.needs.join(" "),
            outcome.resource.kind.clone(),
            outcome.resource.id.clone(),
            outcome.resource_name.clone().unwrap_or_default(),
            outcome.item.clone(),
            check.title.clone(),
            check.remediation.text.clone(),
            evidence,
            row.mute.unwrap_or_default().to_owned(),
            export.fingerprint(outcome),
            row.count.to_string(),
            row.unverified_since.unwrap_or_default().to_owned(),
            export.entry.kind.clone(),
            export.account.to_owned(),
            export.integration.unwrap_or_default().to_owned(),
        ])
    });
    lines.collect()
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\r\n"
}

/// A cell that no spreadsheet takes for a formula: what starts as one gets an apostrophe (OWASP, CSV Injection).
fn cell(text: &str) -> String {
    let first = text.trim_start_matches([' ', '\u{a0}']).chars().next();
    let formula = first.is_some_and(|first| "=+-@\t\r\n|%＝＋－＠".contains(first));
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, written) in [
            ("plain", "\"plain\""),
            ("a=b", "\"a=b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            (" =1", "\"' =1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("＝1", "\"'＝1\""),
        ] {
            assert_eq!(cell(text), written);
        }
    }
}
