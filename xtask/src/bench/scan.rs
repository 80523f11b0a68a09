//! `cargo xtask bench scan`: builds the scanner, then runs tests/bench/scan, which says how it measures.

use std::process::ExitCode;

use clap::Args;

use super::measure::measure;
use crate::{failure::Failure, project::Project, worker_build};

#[derive(Args)]
pub struct Options {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// How many integrations are due
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rows: u32,
    /// How long the provider takes, in milliseconds
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    latency: u16,
    /// How many results the run has whose end is measured
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    results: u32,
}

pub fn run(project: &Project, options: &Options) -> Result<ExitCode, Failure> {
    worker_build::run(project)?;
    let mut node = project.node();
    node.arg("tests/bench/scan/main.mjs")
        .args(["--rows", &options.rows.to_string()])
        .args(["--latency", &options.latency.to_string()])
        .args(["--results", &options.results.to_string()]);
    measure(node, options.json)
}
