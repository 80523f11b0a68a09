//! `keytool selftest`

mod support;

use serde_json::Value;
use support::{keytool, run};

#[test]
fn all_checks_pass_without_any_setting() {
    let done = run(keytool(&["selftest"]), b"");
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
    assert_eq!(done.stdout.lines().count(), 4);
    assert!(
        done.stdout.lines().all(|line| line.starts_with("ok ")),
        "{done:?}"
    );
}

#[test]
fn json_counts_what_was_checked() {
    let done = run(keytool(&["selftest", "--json"]), b"");
    let value: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((done.status, &value["ok"]), (Some(0), &Value::Bool(true)));
    let counts: Vec<u64> = value["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["count"].as_u64().unwrap())
        .collect();
    // The fresh key's value: 12 + 16 + 20 bytes, and as good as every bit of its text can be changed.
    let at_least = [100, 40, 1, 350];
    assert_eq!(counts.len(), at_least.len());
    assert!(
        counts
            .iter()
            .zip(at_least)
            .all(|(count, least)| *count >= least),
        "{counts:?}"
    );
}
