//! Runs the built keytool, without any setting of the machine that the tests run on.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses its part"
)]
#![allow(
    clippy::unwrap_used,
    reason = "test code; clippy knows it in test functions only"
)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub const KID: &str = "deb330ee098af3e8";
pub const OTHER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

pub const ORGANIZATION: &str = "3f2c9a64-0b1d-4e8f-a7c5-6d9e2b10f483";
pub const INTEGRATION: &str = "b81e5d07-92a3-4c6f-8e14-70fd3a5c29b6";
/// The row that `seal` and `open` are asked for.
pub const PLACE: [&str; 4] = ["--organization", ORGANIZATION, "--integration", INTEGRATION];

pub fn keytool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keytool"));
    command.env_clear().args(arguments);
    command
}

/// Gives it `stdin` and waits for its end.
pub fn run(mut command: Command, stdin: &[u8]) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // It may end without having read all of it.
    let _ = pipe.write_all(stdin);
    drop(pipe);
    child.wait_with_output().unwrap().into()
}

/// How it ended.
#[derive(Debug)]
pub struct Done {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Done {
    /// It failed with this status, wrote no data, and said so in an `error:` line that begins like this.
    pub fn assert_error(&self, status: i32, message: &str) {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let line = self.stderr.lines().next().unwrap_or_default();
        assert!(line.starts_with(&format!("error: {message}")), "{self:?}");
    }

    pub fn assert_hint(&self) {
        assert!(
            self.stderr.lines().any(|line| line.starts_with("hint: ")),
            "{self:?}"
        );
    }

    /// None of these stands anywhere in what it wrote.
    pub fn assert_silent_about(&self, secrets: &[&str]) {
        for secret in secrets {
            assert!(
                !self.stdout.contains(secret) && !self.stderr.contains(secret),
                "{self:?}"
            );
        }
    }
}

/// An empty directory of this test's own, gone when dropped.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// A file with this content and mode.
    pub fn file(&self, name: &str, content: &str, mode: u32) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        set_mode(&path, mode);
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
fn set_mode(path: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_path: &str, _mode: u32) {}
