//! Any argument may be a secret that somebody has pasted in the wrong context: none is repeated (threat model 109).
#![allow(
    clippy::unwrap_used,
    reason = "test code; clippy knows it in test functions only"
)]

mod support;

use support::{Directory, INTEGRATION, KEY, ORGANIZATION, OTHER_KEY, keytool, run};

/// What people have at hand: keys alone, in a list, in quotes, behind a name or a path; tokens; connection strings; passwords.
fn secrets() -> Vec<String> {
    vec![
        KEY.into(),
        KEY.trim_end_matches('=').into(),
        format!("{KEY},{OTHER_KEY}"),
        format!("\"{KEY}\""),
        format!("ENCRYPTION_KEY={KEY}"),
        format!("key:{KEY}"),
        format!("./{KEY}"),
        format!("/etc/{KEY}"),
        format!("{KEY} {OTHER_KEY}"),
        format!("-{KEY}"),
        format!("--{KEY}"),
        format!("--{KEY}={OTHER_KEY}"),
        "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl".into(),
        "sb_secret_hunter2hunter2".into(),
        "postgres://postgres:hunter2@db.example.com/postgres".into(),
        "hunter2".into(),
    ]
}

/// Every piece of five characters of each secret that says something: what shows none of them shows nothing to speak of.
fn pieces(secret: &str) -> impl Iterator<Item = &str> {
    let secret = secret
        .trim_start_matches('-')
        .trim_start_matches("/etc/")
        .trim_start_matches("./")
        .trim_start_matches("ENCRYPTION_KEY=")
        .trim_start_matches("key:")
        .trim_start_matches("postgres://postgres");
    (0..secret.len().saturating_sub(4)).map(|at| &secret[at..at + 5])
}

#[track_caller]
fn assert_not_repeated(arguments: &[&str], secret: &str) {
    let done = run(keytool(arguments), b"{}");
    assert_eq!(done.status, Some(2), "{arguments:?} {done:?}");
    for piece in pieces(secret) {
        done.assert_silent_about(&[piece]);
    }
}

#[test]
fn a_secret_as_a_files_name_is_not_repeated() {
    for secret in &secrets() {
        for option in ["--key-file", "--fallback-key-file"] {
            let mut command = keytool(&["id", "--all", &format!("{option}={secret}")]);
            if option == "--fallback-key-file" {
                command.env("ENCRYPTION_KEY", KEY);
            }
            let done = run(command, b"");
            assert_eq!(done.status, Some(2), "{done:?}");
            for piece in pieces(secret) {
                done.assert_silent_about(&[piece]);
            }
        }
        let mut command = keytool(&["status", &format!("--ca-file={secret}")]);
        command.env("DATABASE_URL", "postgres://a@127.0.0.1/b");
        let done = run(command, b"");
        assert_eq!(done.status, Some(2), "{done:?}");
        for piece in pieces(secret) {
            done.assert_silent_about(&[piece]);
        }
    }
}

#[test]
fn a_secret_as_the_name_of_a_new_file_is_not_repeated() {
    let directory = Directory::new("arguments-out");
    for secret in &secrets() {
        for arguments in [&["generate"][..], &["generate", "--json"]] {
            // The second time it exists. A name with a slash in it lies in a directory that does not.
            for _ in 0..2 {
                let mut command = keytool(arguments);
                command
                    .arg(format!("--out={secret}"))
                    .current_dir(directory.path(""));
                if secret.starts_with("/etc/") {
                    continue;
                }
                let done = run(command, b"");
                for piece in pieces(secret) {
                    done.assert_silent_about(&[piece]);
                }
            }
        }
    }
}

#[test]
fn a_secret_where_another_value_belongs_is_not_repeated() {
    for secret in &secrets() {
        for arguments in [
            &["status", "--only-organization"][..],
            &["rotate", "--shard"],
            &["rotate", "--jobs"],
            &["rotate", "--max-rate"],
            &["seal", "--integration", INTEGRATION, "--organization"],
            &["open", "--organization", ORGANIZATION, "--integration"],
        ] {
            let (option, rest) = arguments.split_last().unwrap();
            let last = format!("{option}={secret}");
            assert_not_repeated(&[rest, &[last.as_str()]].concat(), secret);
        }
        for arguments in [
            &[secret.as_str()][..],
            &["id", secret],
            &["id", "--", secret],
            &["retire", secret],
            &["retire", "--", secret],
            &["help", secret],
            &["help", "--", secret],
            &["id", &format!("--json={secret}")],
            &["id", &format!("--key-fil={secret}")],
            &["id", &format!("--{secret}")],
        ] {
            assert_not_repeated(arguments, secret);
        }
    }
}

#[test]
fn a_mistyped_word_gets_a_suggestion() {
    let done = run(keytool(&["rotate", "--complte"]), b"");
    assert!(done.stderr.contains("'--complete'"), "{done:?}");
    let done = run(keytool(&["rotat"]), b"");
    assert!(done.stderr.contains("'rotate'"), "{done:?}");
}

#[test]
fn an_argument_moves_nothing_in_a_terminal() {
    for hostile in ["\u{1b}[31mred", "\u{202e}red", "\u{9b}red", "a\nerror: b"] {
        for arguments in [
            &[hostile][..],
            &["id", hostile],
            &["id", "--key-file", hostile],
            &["status", "--only-organization", hostile],
            &["rotate", "--shard", hostile],
        ] {
            let done = run(keytool(arguments), b"");
            assert_eq!(done.status, Some(2), "{done:?}");
            let moves = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!done.stderr.contains(moves), "{done:?}");
            assert!(!done.stderr.contains("\nerror: b"), "{done:?}");
        }
    }
}
