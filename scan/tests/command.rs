//! The command over recorded answers.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn scan(arguments: &[&str]) -> Output {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    Command::new(env!("CARGO_BIN_EXE_scan"))
        .args(arguments)
        .current_dir(root)
        .env_remove("SCAN_TOKEN")
        .output()
        .expect("the command")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

const SUPABASE: &str = "checks/fixtures/supabase";

#[test]
fn scans_recorded_answers_of_every_provider_and_repeats_no_secret() {
    for kind in [
        "auth0", "discord", "github", "gitlab", "heroku", "supabase", "vercel",
    ] {
        let fixture = format!("checks/fixtures/{kind}");
        for format in ["table", "json", "csv", "sarif", "ocsf"] {
            let output = scan(&[kind, "--fixture", &fixture, "--format", format]);
            let expected = if kind == "discord" { 0 } else { 1 };
            assert_eq!(
                output.status.code(),
                Some(expected),
                "{kind} {format}: {}",
                stderr(&output)
            );
            assert_eq!(stderr(&output), "");
            let text = stdout(&output);
            assert!(
                text.contains(kind) || format == "table" || format == "ocsf",
                "{kind} {format}"
            );
            assert!(!text.contains("not-a-secret"), "{kind} {format}");
        }
    }
}

#[test]
fn the_table_says_what_fails_how_to_put_it_right_and_how_much_was_seen() {
    let output = scan(&["supabase", "--fixture", SUPABASE, "--format", "table"]);
    let text = stdout(&output);
    let line = |part: &str| {
        text.lines()
            .position(|line| line.contains(part))
            .expect(part)
    };
    assert!(line("supabase_ssl_enforced") < line("supabase_auth_refresh_rotation"));
    assert!(text.contains("FAIL    high     supabase_ssl_enforced"));
    assert!(text.contains("- bucket avatars"));
    assert!(text.lines().last().unwrap().contains("checks: "));
    // The lint stays although the check of the schema public says much the same; that of the own check's statement is left to it.
    let json: Value =
        serde_json::from_str(&stdout(&scan(&["supabase", "--fixture", SUPABASE]))).unwrap();
    let lints: Vec<&str> = json["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result["check_id"] == "supabase_advisor")
        .filter_map(|result| result["item"].as_str())
        .collect();
    assert_eq!(lints, ["rls_disabled_in_public"]);
}

#[test]
fn something_unknown_is_not_passed() {
    let folder = std::env::temp_dir().join(format!("scan-unknown-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("fixture.json"),
        r#"{"now":"2026-11-27T00:00:00Z","settings":{"account_id":"1"}}"#,
    )
    .unwrap();
    let answers = |body: &str| {
        let text = format!(
            r#"{{"request":"GET https://discord.com/api/v10/users/@me","status":200,"body":{body}}}"#
        );
        std::fs::write(folder.join("user.json"), text).unwrap();
        scan(&[
            "discord",
            "--fixture",
            folder.to_str().unwrap(),
            "--format",
            "table",
        ])
    };
    assert_eq!(
        answers(r#"{"id":"1","mfa_enabled":true}"#).status.code(),
        Some(0)
    );
    assert_eq!(
        answers(r#"{"id":"1","mfa_enabled":false}"#).status.code(),
        Some(1)
    );
    let unknown = answers(r#"{"id":"1"}"#);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(stdout(&unknown).contains("could not be seen: absent"));
    // What comes from a provider moves no cursor.
    let hostile = answers(r#"{"id":"\u001b[2J","mfa_enabled":false}"#);
    assert!(!stdout(&hostile).contains('\u{1b}'));
    std::fs::remove_file(folder.join("user.json")).unwrap();
    let missing = scan(&["discord", "--fixture", folder.to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(stderr(&missing).contains("no recorded answer: GET https://discord.com/"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn wrong_use_is_told_apart_from_findings() {
    for (arguments, says) in [
        (vec!["myspace"], "there are no checks of myspace"),
        (
            vec!["supabase", "--set", "project_id=a"],
            "SCAN_TOKEN is not set",
        ),
        (vec!["supabase"], "--set project_id"),
        (
            vec!["supabase", "--set", "ref=a", "--set", "project_id=a"],
            "has no setting ref",
        ),
        (vec!["supabase", "--fixture", "nowhere"], "nowhere"),
        (vec!["supabase", "--token", "x"], "unexpected argument"),
        (
            vec!["supabase", "--fixture", SUPABASE, "--format", "xml"],
            "invalid value",
        ),
        (vec!["wrangler.json"], "wrangler.json"),
    ] {
        let output = scan(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).contains(says),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn tries_an_entry_that_is_not_compiled_in() {
    let output = scan(&[
        "checks/entries/discord.json",
        "--fixture",
        "checks/fixtures/discord",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
