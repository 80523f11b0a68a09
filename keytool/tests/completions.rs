//! What a package of keytool is installed with: scripts for shells, and man pages.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use std::process::{Command, Stdio};

use support::{keytool, run};

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = run(keytool(&["--help"]), b"").stdout;
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let listed = listed.split_once("\n\n").unwrap().0;
    let names: Vec<String> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 15, "{names:?}");
    names
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = run(keytool(&["completions", shell]), b"");
        assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
        for command in commands() {
            assert!(done.stdout.contains(&command), "{shell}: {command}");
        }
        assert!(done.stdout.contains("fallback-key-file"), "{shell}");
    }
    assert_eq!(run(keytool(&["completions", "tcl"]), b"").status, Some(2));
}

#[test]
fn bash_completes_the_word_that_was_begun() {
    let script = run(keytool(&["completions", "bash"]), b"").stdout;
    let ask = r#"
        COMP_WORDS=(keytool unr) COMP_CWORD=1
        _keytool keytool unr keytool
        echo "${COMPREPLY[@]}"
    "#;
    let bash = Command::new("bash")
        .args(["-c", &format!("{script}\n{ask}")])
        .stderr(Stdio::inherit())
        .output();
    let Ok(done) = bash else { return };
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "unretire");
}

#[test]
fn every_command_has_a_man_page() {
    let folder = std::env::temp_dir().join(format!("keytool-man-{}", std::process::id()));
    let done = run(keytool(&["man", folder.to_str().unwrap()]), b"");
    assert_eq!(done.status, Some(0), "{done:?}");
    for command in commands() {
        let page = std::fs::read_to_string(folder.join(format!("keytool-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
    let main = std::fs::read_to_string(folder.join("keytool.1")).unwrap();
    assert!(main.contains("Exit status") && !main.contains("keytool\\-man"));
    std::fs::remove_dir_all(&folder).unwrap();
    let file = std::env::current_exe().unwrap();
    run(keytool(&["man", file.to_str().unwrap()]), b"")
        .assert_error(1, "the man pages cannot be written");
}
