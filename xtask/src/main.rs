//! The project's own commands: `cargo xtask build | dev | test | notices | book | reproduce | bench | chaos`.
//!
//! Each does all of its set-up first, and each step of the set-up does nothing when it was done before, so that
//! a fresh clone needs Rust, Node and a C compiler and nothing else:
//!
//! ```text
//! cargo xtask dev --port 3001     # the whole local stack, until Ctrl-C
//! cargo xtask test e2e            # one suite of the checks
//! ```

// A tool for developers is all edge: it measures time and waits.
#![allow(clippy::disallowed_methods)]

mod bench;
mod book;
mod chaos;
mod dev;
mod failure;
mod keytool_build;
mod lockfile;
mod markdown;
mod notices;
mod process;
mod progress;
mod project;
mod reproduce;
mod setup;
mod test;
mod worker_build;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{failure::Failure, project::Project};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The project's own commands"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build both workers for release into worker/build and scanner/build (wrangler runs it too)
    Build,
    /// Bring up the local stack and both workers, and keep them until Ctrl-C
    Dev(dev::Options),
    /// Run every check, or the suites whose name contains one of the filters
    Test(test::Options),
    /// Write THIRD-PARTY-NOTICES.md, the licences of everything that is shipped
    Notices,
    /// Make a book of the documentation, in target/book/html
    Book,
    /// Pack both workers here and in a fresh clone, and compare the bytes (some minutes)
    Reproduce,
    /// Measure how fast something is
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Let everything happen at once, and check what must hold
    #[command(subcommand)]
    Chaos(chaos::Chaos),
    /// Stop the process groups named on standard input once it closes
    #[command(name = process::guard::COMMAND, hide = true)]
    Guard,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Guard = arguments.command {
        process::guard::run();
        return ExitCode::SUCCESS;
    }
    match run(arguments.command) {
        Ok(code) => code,
        Err(failure) => {
            progress::clear();
            if failure.is_interruption() {
                eprintln!("stopped");
            } else {
                eprintln!("{failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    process::stop_children_on_signals()?;
    let project = Project::find()?;
    match command {
        Command::Build => worker_build::run(&project).map(|()| ExitCode::SUCCESS),
        Command::Dev(options) => dev::run(&project, &options),
        Command::Test(options) => test::run(&project, &options),
        Command::Notices => notices::run(&project),
        Command::Book => book::run(&project),
        Command::Reproduce => reproduce::run(&project),
        Command::Bench(bench) => bench::run(&project, &bench),
        Command::Chaos(chaos) => chaos::run(&project, &chaos),
        Command::Guard => unreachable!("handled before the signals are"),
    }
}
