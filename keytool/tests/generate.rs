//! `keytool generate`

mod support;

use std::fs;

use sealed::Key;
use support::{Directory, keytool, run};

#[test]
fn stdout_is_the_key_alone_and_stderr_its_id() {
    let done = run(keytool(&["generate"]), b"");
    assert_eq!(done.status, Some(0));
    let text = done.stdout.strip_suffix('\n').unwrap();
    let key = Key::from_base64(text).unwrap();
    assert_eq!((text.len(), key.to_base64().expose()), (44, text));
    assert_eq!(done.stderr, format!("key id: {}\n", key.kid()));
    assert_ne!(run(keytool(&["generate"]), b"").stdout, done.stdout);
}

#[test]
fn json_has_both() {
    let done = run(keytool(&["generate", "--json"]), b"");
    let value: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let key = Key::from_base64(value["key"].as_str().unwrap()).unwrap();
    assert_eq!(value["kid"], key.kid().to_string());
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_file_is_for_its_owner_only() {
    let directory = Directory::new("generate-file");
    let path = directory.path("key");
    let done = run(keytool(&["generate", "--out", &path]), b"");
    assert_eq!((done.status, done.stdout.as_str()), (Some(0), ""));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        done.stderr,
        format!("key id: {}\n", Key::from_base64(&text).unwrap().kid())
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
    }
    let used = run(keytool(&["id", "--key-file", &path]), b"");
    assert_eq!(format!("key id: {}", used.stdout), done.stderr);
}

#[test]
fn no_file_is_overwritten() {
    let directory = Directory::new("generate-overwrite");
    let path = directory.file("key", "the only copy", 0o600);
    let done = run(keytool(&["generate", "--out", &path]), b"");
    done.assert_error(2, "the file of --out exists");
    done.assert_hint();
    assert_eq!(fs::read_to_string(&path).unwrap(), "the only copy");
}

#[test]
#[cfg(unix)]
fn a_dangling_link_is_not_followed() {
    let directory = Directory::new("generate-link");
    let (link, target) = (directory.path("link"), directory.path("target"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    run(keytool(&["generate", "--out", &link]), b"").assert_error(2, "the file of --out exists");
    assert!(!fs::exists(target).unwrap());
}

#[test]
fn a_directory_that_is_not_there() {
    let directory = Directory::new("generate-nowhere");
    let path = directory.path("no/key");
    let done = run(keytool(&["generate", "--out", &path]), b"");
    done.assert_error(2, "the file of --out cannot be made: ");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let mut command = keytool(&["generate"]);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command.stdout(full).output().unwrap();
    let done = support::Done::from(output);
    done.assert_error(1, "stdout cannot be written: ");
}

/// `keytool generate | true`: it ends without a panic and without a word, and not as if all was well.
#[test]
#[cfg(unix)]
fn a_reader_that_went_away_ends_it_quietly() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::Stdio;

    let mut child = keytool(&[
        "open",
        "--organization",
        support::ORGANIZATION,
        "--integration",
        support::INTEGRATION,
    ])
    .env("ENCRYPTION_KEY", support::KEY)
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"{}").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(BufReader::new(child.stderr.unwrap()).lines().count(), 0);
}
