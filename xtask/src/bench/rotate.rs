//! `cargo xtask bench rotate`: builds keytool, then runs tests/bench/rotate, which says how it measures.

use std::process::ExitCode;

use clap::Args;

use super::measure::measure;
use crate::{
    failure::Failure,
    keytool_build::{self, Profile},
    project::Project,
    setup::{self, Need},
};

#[derive(Args)]
pub struct Options {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// How many rows the table has
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    rows: u32,
    /// How many rows an organization has
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    per_organization: u32,
    /// Measure only what a rotation takes when no row has to be resealed
    #[arg(long)]
    wrapping_only: bool,
    /// How many times each way is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
}

pub fn run(project: &Project, options: &Options) -> Result<ExitCode, Failure> {
    setup::ensure(project, &[Need::Npm])?;
    let keytool = keytool_build::run(project, Profile::Release)?;
    let mut node = project.node();
    node.arg("tests/bench/rotate/main.mjs")
        .arg("--keytool")
        .arg(keytool)
        .args(["--rows", &options.rows.to_string()])
        .args(["--per-organization", &options.per_organization.to_string()])
        .args(["--rounds", &options.rounds.to_string()]);
    if options.wrapping_only {
        node.arg("--wrapping-only");
    }
    measure(node, options.json)
}
