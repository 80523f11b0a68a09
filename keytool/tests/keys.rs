//! Where keys come from, by `keytool id`: the environment and files, and everything that is wrong with them.

mod support;

use std::process::Command;

use support::{Directory, Done, KEY, KID, OTHER_KEY, keytool, run};

fn id(settings: &[(&str, &str)], arguments: &[&str]) -> Done {
    let mut command = keytool(&["id"]);
    command.args(arguments).envs(settings.iter().copied());
    run(command, b"")
}

#[test]
fn the_id_of_the_key_in_the_environment() {
    let done = id(&[("ENCRYPTION_KEY", KEY)], &[]);
    assert_eq!(
        (done.status, done.stdout, done.stderr),
        (Some(0), format!("{KID}\n"), String::new())
    );
    assert_eq!(
        id(&[("ENCRYPTION_KEY", KEY)], &["--json"]).stdout,
        format!("{{\"kid\":\"{KID}\"}}\n")
    );
}

#[test]
fn the_ids_of_the_whole_ring() {
    let settings = [
        ("ENCRYPTION_KEY", OTHER_KEY),
        ("FALLBACK_ENCRYPTION_KEYS", KEY),
    ];
    let lines = id(&settings, &["--all"]).stdout;
    assert_eq!(lines.lines().count(), 2);
    assert_eq!(lines.lines().nth(1), Some(KID));
    let json = id(&settings, &["--all", "--json"]).stdout;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["fallback_kids"], serde_json::json!([KID]));
    assert_eq!(Some(value["kid"].as_str().unwrap()), lines.lines().next());
}

#[test]
fn a_key_that_is_not_set() {
    for settings in [
        &[][..],
        &[("ENCRYPTION_KEY", "")],
        &[("ENCRYPTION_KEY", " \n")],
    ] {
        let done = id(settings, &[]);
        done.assert_error(
            2,
            "ENCRYPTION_KEY environment variable is not set\n".trim_end(),
        );
        done.assert_hint();
    }
}

#[test]
fn a_settings_file_is_not_read_by_itself() {
    let directory = Directory::new("keys-dotenv");
    for name in [".env", ".dev.vars"] {
        directory.file(name, &format!("ENCRYPTION_KEY={KEY}\n"), 0o600);
    }
    let mut command = keytool(&["id"]);
    command.current_dir(directory.path(""));
    run(command, b"").assert_error(2, "ENCRYPTION_KEY environment variable is not set");
}

#[test]
fn a_key_that_is_none() {
    let short = "c2VjcmV0";
    for (key, why) in [
        (short, "a key must be base64 of 32 bytes, this is 6 bytes"),
        (
            "hunter2 hunter2",
            "a key must be base64 of 32 bytes, this is not base64",
        ),
    ] {
        let done = id(&[("ENCRYPTION_KEY", key)], &[]);
        done.assert_error(2, &format!("ENCRYPTION_KEY: {why}"));
        done.assert_hint();
        done.assert_silent_about(&[key]);

        let both = [("ENCRYPTION_KEY", KEY), ("FALLBACK_ENCRYPTION_KEYS", key)];
        let done = id(&both, &["--all"]);
        done.assert_error(2, &format!("FALLBACK_ENCRYPTION_KEYS: {why}"));
        done.assert_silent_about(&[key, KEY]);
    }
}

#[test]
#[cfg(unix)]
fn a_key_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = keytool(&["id"]);
    command.env(
        "ENCRYPTION_KEY",
        std::ffi::OsStr::from_bytes(b"hunter2\xff"),
    );
    let done = run(command, b"");
    done.assert_error(2, "ENCRYPTION_KEY is no UTF-8 text");
    done.assert_silent_about(&["hunter2"]);
}

#[test]
fn a_key_given_twice() {
    let twice = format!("{OTHER_KEY},{OTHER_KEY}");
    for fallbacks in [KEY, &format!("{OTHER_KEY},{KEY}"), &twice] {
        let settings = [
            ("ENCRYPTION_KEY", KEY),
            ("FALLBACK_ENCRYPTION_KEYS", fallbacks),
        ];
        let done = id(&settings, &["--all"]);
        done.assert_error(2, "the key ring: key ");
        done.assert_hint();
        done.assert_silent_about(&[KEY, OTHER_KEY]);
    }
}

#[test]
fn files_take_the_place_of_the_environment() {
    let directory = Directory::new("keys-files");
    let primary = directory.file("primary", &format!("{OTHER_KEY}\n"), 0o600);
    let fallback = directory.file("fallback", KEY, 0o400);
    let arguments = [
        "--all",
        "--key-file",
        &primary,
        "--fallback-key-file",
        &fallback,
    ];
    let done = id(&[("FALLBACK_ENCRYPTION_KEYS", "no key at all")], &arguments);
    assert_eq!(
        (done.status, done.stdout.lines().nth(1)),
        (Some(0), Some(KID)),
        "{done:?}"
    );
}

#[test]
#[cfg(unix)]
fn a_file_that_others_may_read_is_refused() {
    let directory = Directory::new("keys-modes");
    for mode in [0o640, 0o604, 0o620, 0o601, 0o777] {
        let path = directory.file("key", KEY, mode);
        let done = id(&[], &["--key-file", &path]);
        done.assert_error(
            2,
            &format!("the file of --key-file is open to others (mode {mode:04o})"),
        );
        done.assert_hint();
        let settings = [("ENCRYPTION_KEY", OTHER_KEY)];
        let done = id(&settings, &["--all", "--fallback-key-file", &path]);
        done.assert_error(2, "file 1 of --fallback-key-file is open to others");
    }
}

#[test]
fn a_file_that_holds_no_key() {
    let directory = Directory::new("keys-no-key");
    for (content, why) in [
        (String::new(), "this is 0 bytes"),
        ("hunter2!".into(), "this is not base64"),
        (format!("{KEY}\n{KEY}\n"), "this is not base64"),
        ("A".repeat(5000), "is larger than a key"),
    ] {
        let path = directory.file("key", &content, 0o600);
        let done = id(&[], &["--key-file", &path]);
        done.assert_error(2, "the file of --key-file");
        assert!(done.stderr.contains(why), "{done:?}");
        done.assert_silent_about(&["hunter2", KEY]);
    }
    let path = directory.path("missing");
    id(&[], &["--key-file", &path]).assert_error(2, "the file of --key-file cannot be read: ");
    let path = directory.path("");
    assert_eq!(id(&[], &["--key-file", &path]).status, Some(2));
}

/// Somebody will try. It stands in the shell's history then, but at least in no log of ours.
#[test]
fn a_key_as_an_argument_is_refused_and_not_repeated() {
    for arguments in [
        &[KEY][..],
        &["id", KEY],
        &["seal", "--organization", KEY],
        &["id", "--key", KEY],
    ] {
        let done = run(keytool(arguments), b"");
        assert_eq!(done.status, Some(2), "{done:?}");
        assert!(done.stderr.starts_with("error: "), "{done:?}");
        done.assert_silent_about(&[KEY]);
    }
    let glued = format!("--key={KEY}");
    run(keytool(&["id", &glued]), b"").assert_silent_about(&[KEY]);
}

#[test]
fn help_and_version_are_data() {
    for arguments in [
        &["--help"][..],
        &["help"],
        &["--version"],
        &["seal", "--help"],
    ] {
        let done = run(keytool(arguments), b"");
        assert_eq!(
            (done.status, done.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
        assert!(!done.stdout.is_empty());
    }
    assert_eq!(run(keytool(&[]), b"").status, Some(2));
}

#[test]
fn the_version_names_the_project_and_the_commit() {
    let head = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output();
    let commit = match head {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap(),
        _ => "unknown".to_owned(),
    };
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "keytool {version} (Sealed OAuth integrations, commit {})\n",
        commit.trim()
    );
    assert_eq!(run(keytool(&["--version"]), b"").stdout, expected);
    assert_eq!(run(keytool(&["-V"]), b"").stdout, expected);
}
