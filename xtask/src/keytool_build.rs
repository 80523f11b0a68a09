//! keytool, built for what runs it as a program of its own.

use std::path::PathBuf;

use crate::{failure::Failure, process, progress, project::Project, setup};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As the tests have built it already.
    Debug,
    /// As it is used: what is measured, or runs for long.
    Release,
}

/// Builds it, and says where it is.
pub fn run(project: &Project, profile: Profile) -> Result<PathBuf, Failure> {
    let (folder, arguments): (_, &[&str]) = match profile {
        Profile::Debug => ("debug", &[]),
        Profile::Release => ("release", &["--release"]),
    };
    let step = progress::begin(format!("building keytool ({folder})"));
    let log = project.log("build-keytool")?;
    let mut cargo = project.cargo();
    cargo
        .args(["build", "--package", "keytool"])
        .args(arguments)
        // Wherever the user's own configuration puts it, we look here.
        .env("CARGO_TARGET_DIR", project.path("target"));
    if !process::run_into(&log, &mut cargo)?.success() {
        let hint = "the compiler says above what is wrong";
        return Err(setup::failed(project, "compiling keytool", &log, hint));
    }
    step.done("keytool is built");
    Ok(project.path(&format!("target/{folder}/keytool")))
}
