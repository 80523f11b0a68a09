//! Which program a shell runs as `keytool`.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Report;
use crate::error::{Error, ErrorKind, Result};
use crate::version::VERSION;

const NAME: &str = if cfg!(windows) {
    "keytool.exe"
} else {
    "keytool"
};

/// What the folder of a JDK's keytool holds too.
const JDK: [&str; 2] = if cfg!(windows) {
    ["java.exe", "javac.exe"]
} else {
    ["java", "javac"]
};

pub fn check(report: &Report) -> Result<()> {
    report.ok("version", &format!("keytool {VERSION}"))?;
    let this = env::current_exe().and_then(|path| path.canonicalize()).ok();
    // Under its second name no JDK's program is in its way.
    let name = this.as_deref().and_then(Path::file_name);
    let name = name.unwrap_or(OsStr::new(NAME));
    let first = env::var_os("PATH").and_then(|path| first_in(&path, name));
    let Some(first) = first else {
        return report.note(
            "program",
            &format!("no {} is in PATH", name.display()),
            "put the folder of this program into PATH: `cargo install` uses ~/.cargo/bin",
        );
    };
    if this.is_some() && first.canonicalize().ok() == this {
        let message = format!("a shell runs this {}", name.display());
        return report.ok("program", &message);
    }
    let shown = first.display();
    let message = if is_of_a_jdk(&first) {
        format!("a shell runs the keytool of a JDK: {shown}")
    } else {
        format!("a shell runs another keytool than this one: {shown}")
    };
    let error = Error::new(ErrorKind::Caller, message)
        .hint("put this program's folder before that one in PATH, or call it sealed-keytool, its other name in the archives");
    report.wrong("program", &error)
}

/// The first file of this name in the folders of PATH.
fn first_in(path: &OsStr, name: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    file.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

/// A JDK's programs lie in one folder, and are linked to from elsewhere.
fn is_of_a_jdk(file: &Path) -> bool {
    let real = file.canonicalize();
    let folder = real.as_deref().unwrap_or(file).parent();
    folder.is_some_and(|folder| JDK.iter().any(|name| folder.join(name).is_file()))
}
