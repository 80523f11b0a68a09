//! `cargo xtask bench fairness`: builds the worker, then runs tests/bench/fairness, which says how it measures.

use std::process::ExitCode;

use clap::Args;

use super::measure::measure;
use crate::{failure::Failure, project::Project, worker_build};

#[derive(Args)]
pub struct Options {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// How long each side is measured, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,
    /// How often the schedule runs, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=60))]
    interval: u8,
    /// How long the slow receivers take, in milliseconds
    #[arg(long, default_value_t = 9_500, value_parser = clap::value_parser!(u16).range(1..=60_000))]
    answer: u16,
    /// Give the worker a queue to share out what one run may not do
    #[arg(long)]
    queue: bool,
}

pub fn run(project: &Project, options: &Options) -> Result<ExitCode, Failure> {
    worker_build::run(project)?;
    let mut node = project.node();
    node.arg("tests/bench/fairness/main.mjs")
        .args(["--seconds", &options.seconds.to_string()])
        .args(["--interval", &options.interval.to_string()])
        .args(["--answer", &options.answer.to_string()])
        .args(options.queue.then_some("--queue"));
    measure(node, options.json)
}
