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
    /// Scan with two scanners while accounts change and every part fails, and check every finding against what the provider has answered
    Scan(Options),
    /// Connect, refresh, check and disconnect while every part fails and strangers attack, and check which grants live and which are stored
    Worker(Options),
}

#[derive(Args)]
pub struct Options {
    /// How long; what is under way then is finished
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1440))]
    minutes: u16,
    /// Repeat the plan of an earlier run, which has printed its seed
    #[arg(long)]
    seed: Option<u32>,
}

pub fn run(project: &Project, chaos: &Chaos) -> Result<ExitCode, Failure> {
    let (mut node, options) = match chaos {
        Chaos::Rotate(options) => (rotate(project, Profile::Release)?, options),
        Chaos::Scan(options) => (scan(project)?, options),
        Chaos::Worker(options) => (worker(project)?, options),
    };
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

/// The short form of `rotate`, as one of the checks: one change of key.
pub fn short_rotate(project: &Project) -> Result<Command, Failure> {
    let mut node = rotate(project, Profile::Debug)?;
    node.arg("--short");
    Ok(node)
}

/// The short form of `worker`, as one of the checks.
pub fn short_worker(project: &Project) -> Result<Command, Failure> {
    let mut node = worker(project)?;
    node.arg("--short");
    Ok(node)
}

/// The short form of `scan`, as one of the checks.
pub fn short_scan(project: &Project) -> Result<Command, Failure> {
    let mut node = scan(project)?;
    node.arg("--short");
    Ok(node)
}

/// The harness of the scanner, with the scanner built.
fn scan(project: &Project) -> Result<Command, Failure> {
    worker_build::run(project)?;
    let mut node = project.node();
    node.arg("tests/chaos/scan/main.mjs");
    Ok(node)
}

/// The harness of the rotation, with what it runs built.
fn rotate(project: &Project, profile: Profile) -> Result<Command, Failure> {
    worker_build::run(project)?;
    let keytool = keytool_build::run(project, profile)?;
    let mut node = project.node();
    node.arg("tests/chaos/rotate/main.mjs")
        .arg("--keytool")
        .arg(keytool);
    Ok(node)
}

/// The harness of the worker, with the worker built.
fn worker(project: &Project) -> Result<Command, Failure> {
    worker_build::run(project)?;
    let mut node = project.node();
    node.arg("tests/chaos/worker/main.mjs");
    Ok(node)
}
