//! `keytool seal` and `keytool open`

mod support;

use serde_json::{Value, json};
use support::{Done, INTEGRATION, KEY, KID, ORGANIZATION, OTHER_KEY, PLACE, keytool, run};

fn with_key(key: &str, command: &str, context: &[&str], stdin: &str) -> Done {
    let mut command = keytool(&[command]);
    command.args(context).env("ENCRYPTION_KEY", key);
    run(command, stdin.as_bytes())
}

fn seal(config: &str) -> String {
    let done = with_key(KEY, "seal", &PLACE, config);
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
    done.stdout
}

#[test]
fn what_is_sealed_opens_and_the_rest_is_as_it_was() {
    let config = r#"{"access_token":"sbp_hunter2","big":123456789012345678901234567890.10,"project_id":"abc123"}"#;
    let stored = seal(config);
    let value: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(value["_enc"], json!({"v": 2, "kid": KID}));
    assert_eq!(value["project_id"], "abc123");
    assert_eq!(
        value["access_token"].as_str().unwrap().split('.').count(),
        3
    );
    assert!(stored.contains("123456789012345678901234567890.10"));
    assert!(!stored.contains("hunter2"));
    assert_eq!(
        with_key(KEY, "open", &PLACE, &stored).stdout,
        format!("{config}\n")
    );
}

#[test]
fn a_fallback_opens() {
    let mut command = keytool(&["open"]);
    command
        .args(PLACE)
        .env("ENCRYPTION_KEY", OTHER_KEY)
        .env("FALLBACK_ENCRYPTION_KEYS", KEY);
    let done = run(command, seal(r#"{"token":"x"}"#).as_bytes());
    assert_eq!(
        (done.status, done.stdout.as_str()),
        (Some(0), "{\"token\":\"x\"}\n")
    );
}

#[test]
fn what_does_not_open_is_status_3_and_a_missing_key_or_version_is_status_4() {
    let stored = seal(r#"{"access_token":"hunter2"}"#);
    let elsewhere = ["--organization", INTEGRATION, "--integration", ORGANIZATION];
    let mut stripped: Value = serde_json::from_str(&stored).unwrap();
    stripped.as_object_mut().unwrap().remove("_enc");
    let newer = stored.replace(r#""v":2"#, r#""v":4"#);
    let on_data_key = stored.replace(r#""v":2"#, r#""v":3"#);
    let sealed: Value = serde_json::from_str(&stored).unwrap();
    for (status, key, context, config, class) in [
        (
            4,
            OTHER_KEY,
            &PLACE,
            stored.as_str(),
            "unknown-key at \"/_enc\"",
        ),
        (
            3,
            KEY,
            &elsewhere,
            &stored,
            "not-authentic at \"/access_token\"",
        ),
        (
            4,
            KEY,
            &PLACE,
            &stripped.to_string(),
            "not-authentic at \"/access_token\"",
        ),
        (4, KEY, &PLACE, &newer, "unknown-version at \"/_enc\""),
        (4, KEY, &PLACE, &on_data_key, "unknown-key at \"/_enc\""),
        (
            3,
            KEY,
            &PLACE,
            r#"{"access_token":"hunter2"}"#,
            "not-sealed at \"/access_token\"",
        ),
        (
            3,
            KEY,
            &PLACE,
            r#"{"access_token":5}"#,
            "wrong-type at \"/access_token\"",
        ),
    ] {
        let done = with_key(key, "open", context, config);
        done.assert_error(
            status,
            &format!("the stored credentials do not open: {class}"),
        );
        done.assert_hint();
        done.assert_silent_about(&[
            "hunter2",
            KEY,
            OTHER_KEY,
            sealed["access_token"].as_str().unwrap(),
        ]);
    }
}

#[test]
fn what_cannot_be_sealed_is_refused() {
    for (config, pointer) in [
        (r#"{"_enc":null}"#, "/_enc"),
        (r#"{"a":[{"apiKey":["hunter2"]}]}"#, "/a/0/apiKey"),
        (
            &format!(r#"{{"token":"{}"}}"#, "x".repeat(65_537)),
            "/token",
        ),
    ] {
        let done = with_key(KEY, "seal", &PLACE, config);
        done.assert_error(1, "the config cannot be sealed: ");
        assert!(
            done.stderr.contains(&format!("at \"{pointer}\"")),
            "{done:?}"
        );
        done.assert_silent_about(&["hunter2"]);
    }
}

#[test]
fn stdin_that_is_no_config() {
    let huge = format!(r#"{{"hunter2":"{}"}}"#, "x".repeat(8 * 1024 * 1024));
    for (stdin, why) in [
        ("", "the config on stdin: the JSON ends too early"),
        (
            r#"{"token":"hunter2""#,
            "the config on stdin: the JSON ends too early",
        ),
        (
            "token: hunter2",
            "the config on stdin: not JSON at line 1 column 2",
        ),
        (
            r#""hunter2""#,
            "the config on stdin: valid JSON, but not an object",
        ),
        (
            r#"[{"token":"hunter2"}]"#,
            "the config on stdin: valid JSON, but not an object",
        ),
        ("null", "the config on stdin: valid JSON, but not an object"),
        (&huge, "the config on stdin is larger than 8388608 bytes"),
        (
            &"[".repeat(100_000),
            "the config on stdin: the JSON ends too early",
        ),
        (
            &format!(
                r#"{{"hunter2":{}{}}}"#,
                "[".repeat(100_000),
                "]".repeat(100_000)
            ),
            "the config on stdin: more than 128 levels",
        ),
    ] {
        for command in ["seal", "open"] {
            let done = with_key(KEY, command, &PLACE, stdin);
            done.assert_error(1, why);
            done.assert_silent_about(&["hunter2"]);
        }
    }
    let mut command = keytool(&["seal"]);
    command.args(PLACE).env("ENCRYPTION_KEY", KEY);
    run(command, b"{\"token\":\"hunter2\xff\"}")
        .assert_error(1, "the config on stdin: not UTF-8 text");
}

#[test]
fn settings_come_before_input() {
    let mut command = keytool(&["seal"]);
    command.args(PLACE);
    run(command, b"no JSON").assert_error(2, "ENCRYPTION_KEY environment variable is not set");
}

#[test]
fn ids_are_uuids_and_both_are_needed() {
    for context in [
        &[][..],
        &["--organization", ORGANIZATION],
        &["--organization", "org_123", "--integration", INTEGRATION],
        &["--organization", ORGANIZATION, "--integration", ""],
    ] {
        let done = with_key(KEY, "seal", context, "{}");
        assert_eq!(
            (done.status, done.stdout.as_str()),
            (Some(2), ""),
            "{done:?}"
        );
        assert!(done.stderr.starts_with("error: "), "{done:?}");
    }
}
