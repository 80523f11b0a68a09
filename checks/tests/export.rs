//! The exports, against the schemas that their standards publish: SARIF 2.1.0 (OASIS, as the crate `serde-sarif` 0.8.0 carries it) and
//! OCSF 1.8.0's class compliance_finding (as the Python package `ocsf-json-schema` 1.2.0 makes it).
#![cfg(not(target_arch = "wasm32"))]

mod small;

use checks::{Bounds, Export, Format, Row, Status};
use serde_json::{Value, json};
use small::{answer, check, entry, provider, read, scan};

/// A scan with a pass, a fail, an unknown, one that does not apply, one for a person, and names that are no friends of spreadsheets.
fn export(format: Format, muted: bool) -> String {
    let mut small = entry();
    let checks = small["checks"].as_array_mut().expect("a list");
    checks.push(check(
        "small_manual",
        json!({ "resource": { "type": "account", "id": "{account_id}" } }),
    ));
    checks[1]["maps"] = json!({ "soc2": ["CC6.1"] });
    checks[1]["remediation"]["url"] = json!("https://docs.test/private");
    let small = read(&small);
    let said = scan(
        &small,
        Bounds::default(),
        None,
        u32::MAX,
        |request| match request.url.as_str() {
            "https://api.test/account" => answer(403, &[], json!({})),
            "https://api.test/repos/2/keys" => answer(404, &[], json!({ "message": "plan" })),
            "https://api.test/repos?page=2" => small::ok(json!([
                { "id": 4, "name": "=cmd|'/c calc'!A0", "private": false }
            ])),
            _ => provider(request),
        },
    );
    let rows = said.outcomes.iter().map(|outcome| Row {
        mute: (muted && outcome.status == Status::Fail).then_some("it is an example"),
        ..Row::from(outcome)
    });
    let export = Export {
        entry: &small,
        integration: None,
        account: "42",
        rows: rows.collect(),
        coverage: &said.coverage,
        time: small::NOW,
        ended: None,
        version: "0.1.0",
    };
    let statuses: std::collections::BTreeSet<Status> =
        export.rows.iter().map(|row| row.outcome.status).collect();
    assert_eq!(statuses.len(), 5);
    export.write(format)
}

const OCSF: &str = include_str!("schemas/ocsf-1.8.0-compliance_finding.json");

/// One pattern of the published schema, of a language that we do not name, has a bracket too many for a strict reader.
fn sarif_schema() -> String {
    let published = include_str!("schemas/sarif-2.1.0.json");
    let strict = published.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$");
    assert_ne!(strict, published);
    strict
}

fn valid(schema: &str, value: &Value) {
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let faults: Vec<String> = validator
        .iter_errors(value)
        .map(|fault| format!("{} at {}", fault, fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn sarif_is_valid_and_says_what_is_unknown() {
    for muted in [false, true] {
        let sarif: Value = serde_json::from_str(&export(Format::Sarif, muted)).unwrap();
        valid(&sarif_schema(), &sarif);
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        let count = |kind: &str| {
            results
                .iter()
                .filter(|result| result["kind"] == kind)
                .count()
        };
        assert_eq!(
            ["pass", "fail", "open", "notApplicable", "review"].map(count),
            [8, 1, 1, 1, 1]
        );
        let suppressed = results
            .iter()
            .filter(|result| result.get("suppressions").is_some());
        assert_eq!(suppressed.count(), usize::from(muted));
        let told = &sarif["runs"][0]["invocations"][0]["toolExecutionNotifications"];
        assert_eq!(told[0]["associatedRule"]["id"], "small_mfa");
    }
}

#[test]
fn the_schemas_refuse_what_is_wrong() {
    let mut sarif: Value = serde_json::from_str(&export(Format::Sarif, false)).unwrap();
    sarif["runs"][0]["results"][0]["kind"] = json!("unknown");
    let mut ocsf: Value = serde_json::from_str(&export(Format::Ocsf, false)).unwrap();
    ocsf[0]["compliance"]["status_id"] = json!(17);
    for (schema, value) in [(sarif_schema(), &sarif), (OCSF.to_owned(), &ocsf[0])] {
        let schema: Value = serde_json::from_str(&schema).unwrap();
        assert!(!jsonschema::is_valid(&schema, value));
    }
}

#[test]
fn ocsf_is_valid_and_unknown_is_a_warning() {
    for muted in [false, true] {
        let ocsf: Value = serde_json::from_str(&export(Format::Ocsf, muted)).unwrap();
        let findings = ocsf.as_array().unwrap();
        for finding in findings {
            valid(OCSF, finding);
        }
        let count = |status: u64| {
            let of = |finding: &&Value| finding["compliance"]["status_id"] == status;
            findings.iter().filter(of).count()
        };
        assert_eq!([1, 2, 3, 99].map(count), [8, 2, 1, 1]);
        let failed = findings
            .iter()
            .find(|finding| finding["compliance"]["status_id"] == 3)
            .unwrap();
        assert_eq!(failed["status_id"], if muted { 3 } else { 1 });
        assert_eq!(failed["compliance"]["requirements"], json!(["CC6.1"]));
    }
}

#[test]
fn csv_has_a_line_for_each_result_and_no_formula() {
    let csv = export(Format::Csv, false);
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1 + 12);
    assert!(lines[0].starts_with("\"check_id\",\"check_version\""));
    assert!(csv.contains("\"'=cmd|'/c calc'!A0\""));
    for line in lines {
        assert_eq!(line.matches("\",\"").count(), 19, "{line}");
        assert!(!line.contains(",\"=") && !line.starts_with("\"="));
    }
    assert!(csv.contains("\"unknown\",\"forbidden\",\"account:read\""));
}

#[test]
fn json_holds_the_results_and_the_coverage() {
    let json: Value = serde_json::from_str(&export(Format::Json, true)).unwrap();
    assert_eq!(json["results"].as_array().unwrap().len(), 12);
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 6);
    assert_eq!(checks[0]["needs"], json!(["account:read"]));
    let muted = json["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result["mute"].is_string());
    assert_eq!(muted.count(), 1);
}
