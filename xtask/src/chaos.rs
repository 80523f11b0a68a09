//! `cargo xtask chaos`: what must hold whatever happens, with everything happening. tests/chaos says what and how.

use std::process::{Command, ExitCode, Stdio};

use clap::{Args, Subcommand};

use crate::{
    failure::Failure,
    keytool_build::{self, Profile},
    process::Running,
    project::Project,
    worker_build,
};

#[derive(Subcommand)]
pub enum Chaos {
    /// Change the key again and again while workers write and keytool is killed, and check every version of every row
    Rotate(Options),
}

#[derive(Args)]
pub struct Options {
    /// How long; the change of key that is under way then is finished
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1440))]
    minutes: u16,
    /// Repeat the plan of an earlier run, which has printed its seed
    #[arg(long)]
    seed: Option<u32>,
}

pub fn run(project: &Project, chaos: &Chaos) -> Result<ExitCode, Failure> {
    let Chaos::Rotate(options) = chaos;
    let mut node = rotate(project, Profile::Release)?;
    node.args(["--minutes", &options.minutes.to_string()])
        .stdin(Stdio::null());
    if let Some(seed) = options.seed {
        node.args(["--seed", &seed.to_string()]);
    }
    let status = Running::start(&mut node)?.wait()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The short form, as one of the checks: one change of key.
pub fn short(project: &Project) -> Result<Command, Failure> {
    let mut node = rotate(project, Profile::Debug)?;
    node.arg("--short");
    Ok(node)
}

/// The harness, with what it runs built.
fn rotate(project: &Project, profile: Profile) -> Result<Command, Failure> {
    worker_build::run(project)?;
    let keytool = keytool_build::run(project, profile)?;
    let mut node = project.node();
    node.arg("tests/chaos/rotate/main.mjs")
        .arg("--keytool")
        .arg(keytool);
    Ok(node)
}
