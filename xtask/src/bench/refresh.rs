//! `cargo xtask bench refresh`: builds the worker, then runs tests/bench/refresh, which says how it measures.

use std::process::ExitCode;

use clap::Args;

use super::measure::measure;
use crate::{failure::Failure, project::Project, worker_build};

#[derive(Args)]
pub struct Options {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// How many credentials are due
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rows: u32,
    /// How many times each side is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// How long the provider takes, in milliseconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    latency: u16,
    /// Give the worker a queue to share out what one run may not do
    #[arg(long)]
    queue: bool,
}

pub fn run(project: &Project, options: &Options) -> Result<ExitCode, Failure> {
    worker_build::run(project)?;
    let mut node = project.node();
    node.arg("tests/bench/refresh/main.mjs")
        .args(["--rows", &options.rows.to_string()])
        .args(["--rounds", &options.rounds.to_string()])
        .args(["--latency", &options.latency.to_string()])
        .args(options.queue.then_some("--queue"));
    measure(node, options.json)
}
