//! `cargo xtask bench`: how fast things are, beside what one would compare them with.
//!
//! A bench prints what it found and judges nothing: it fails only when something could not be measured. On a shared machine
//! the ratios are worth more than the figures, as both sides of each were measured in turns.

mod fairness;
mod measure;
mod refresh;
mod rotate;
mod scan;
mod worker;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, project::Project};

#[derive(Subcommand)]
pub enum Bench {
    /// Deliveries of one organization beside the slow receivers of others
    Fairness(fairness::Options),
    /// The schedule's refreshes beside bare calls to the same provider
    Refresh(refresh::Options),
    /// The change of the key beside PostgreSQL's own floor and a script with supabase-js
    Rotate(rotate::Options),
    /// The scanner's requests beside bare calls to the same provider, and the end of a large run
    Scan(scan::Options),
    /// The worker beside a JavaScript worker that does the same, both on workerd
    Worker(worker::Options),
}

pub fn run(project: &Project, bench: &Bench) -> Result<ExitCode, Failure> {
    match bench {
        Bench::Fairness(options) => fairness::run(project, options),
        Bench::Refresh(options) => refresh::run(project, options),
        Bench::Rotate(options) => rotate::run(project, options),
        Bench::Scan(options) => scan::run(project, options),
        Bench::Worker(options) => worker::run(project, options),
    }
}
