//! `cargo xtask bench worker`: builds the worker, then runs tests/bench/worker, which says how it measures.

use std::process::ExitCode;

use clap::Args;

use super::measure::measure;
use crate::{failure::Failure, project::Project, worker_build};

#[derive(Args)]
pub struct Options {
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// How many times each side is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
    /// How long each measurement takes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=30))]
    seconds: u8,
}

pub fn run(project: &Project, options: &Options) -> Result<ExitCode, Failure> {
    worker_build::run(project)?;
    let mut node = project.node();
    node.arg("tests/bench/worker/main.mjs")
        .args(["--rounds", &options.rounds.to_string()])
        .args(["--seconds", &options.seconds.to_string()]);
    measure(node, options.json)
}
