//! `cargo xtask test`: every check, a line for each suite, and a total.

mod counts;
mod cycles;
mod graph;
mod layout;
mod licenses;
mod links;
mod modules;
mod rustdoc;
mod stack;
mod suite;
mod threat_model;

use std::{
    fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{failure::Failure, progress, project::Project, setup};
use counts::Counts;
use stack::Stack;
use suite::{ALL, Lane, Outcome, Selection, Suite};

#[derive(Args)]
pub struct Options {
    /// Only the suites of these names: fmt, clippy, unit, e2e …
    #[arg(value_name = "SUITE", value_parser = suite_name)]
    suites: Vec<String>,
    /// Only the test files whose name contains this or, if there is none, the tests whose name does (needs a suite that has tests)
    #[arg(long, value_name = "TEXT", requires = "suites")]
    only: Option<String>,
}

/// A suite that ran, or could not.
struct Ended {
    name: &'static str,
    counts: Counts,
    took: Duration,
}

pub fn run(project: &Project, options: &Options) -> Result<ExitCode, Failure> {
    let chosen: Vec<&Suite> = ALL
        .iter()
        .filter(|suite| {
            options.suites.is_empty() || options.suites.iter().any(|name| name == suite.name)
        })
        .collect();
    let (chosen, absent): (Vec<&Suite>, Vec<&Suite>) = chosen
        .into_iter()
        .partition(|suite| suite.is_there(project));
    let needs: Vec<_> = chosen
        .iter()
        .flat_map(|suite| suite.needs)
        .copied()
        .collect();
    setup::ensure(project, &needs)?;

    let begun = Instant::now();
    let without_stack = Selection {
        only: options.only.as_deref(),
        stack: None,
    };
    let of = |lane| {
        chosen
            .iter()
            .copied()
            .filter(move |suite| suite.lane == lane)
    };
    let (own, others) = thread::scope(|scope| {
        let own = scope.spawn(|| run_lane(project, &without_stack, of(Lane::Own)));
        let others = run_lane(project, &without_stack, of(Lane::Build)).and_then(|mut ended| {
            ended.extend(run_on_stack(
                project,
                options,
                &of(Lane::Stack).collect::<Vec<_>>(),
            )?);
            Ok(ended)
        });
        (
            own.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            others,
        )
    });
    let mut ended = own?;
    ended.extend(others?);

    let absent: Vec<_> = absent.iter().map(|suite| suite.name).collect();
    let counts = report(&ended, &absent, begun.elapsed());
    Ok(if counts.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn suite_name(name: &str) -> Result<String, String> {
    if ALL.iter().any(|suite| suite.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = ALL.iter().map(|suite| suite.name).collect();
    Err(format!("the suites are {}", names.join(", ")))
}

/// The suites that share one stack.
fn run_on_stack(
    project: &Project,
    options: &Options,
    suites: &[&Suite],
) -> Result<Vec<Ended>, Failure> {
    if suites.is_empty() {
        return Ok(Vec::new());
    }
    let stack = match Stack::start(project) {
        Ok(stack) => stack,
        Err(Failure::Interrupted) => return Err(Failure::Interrupted),
        Err(failure) => {
            progress::print(&failure.to_string());
            let unproved = |suite: &&Suite| Ended {
                name: suite.name,
                counts: Counts::one(false),
                took: Duration::ZERO,
            };
            return Ok(suites.iter().map(unproved).collect());
        }
    };
    let selection = Selection {
        only: options.only.as_deref(),
        stack: Some(stack.description()),
    };
    run_lane(project, &selection, suites.iter().copied())
}

fn run_lane<'a>(
    project: &Project,
    selection: &Selection,
    suites: impl Iterator<Item = &'a Suite>,
) -> Result<Vec<Ended>, Failure> {
    suites
        .map(|suite| run_suite(project, selection, suite))
        .collect()
}

/// Runs one suite; what fails is shown at once, and only an interruption ends the run.
fn run_suite(project: &Project, selection: &Selection, suite: &Suite) -> Result<Ended, Failure> {
    let begun = Instant::now();
    let step = progress::begin(suite.name);
    let outcome = suite.run(project, selection);
    let took = begun.elapsed();
    let counts = match outcome {
        Ok(outcome) if outcome.counts.failed == 0 => {
            step.done(suite.name);
            outcome.counts
        }
        Ok(outcome) => {
            drop(step);
            progress::print(&shown(project, suite, &outcome));
            outcome.counts
        }
        Err(Failure::Interrupted) => return Err(Failure::Interrupted),
        Err(failure) => {
            drop(step);
            progress::print(&format!("✗ {}\n{failure}", suite.name));
            Counts::one(false)
        }
    };
    Ok(Ended {
        name: suite.name,
        counts,
        took,
    })
}

/// What a failed suite printed: whole, or its end when it is long.
fn shown(project: &Project, suite: &Suite, outcome: &Outcome) -> String {
    const SHOWN: usize = 1000;
    let said = fs::read(&outcome.log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.trim_end().lines().collect();
    let cut = lines.len().saturating_sub(SHOWN);
    let note = if cut > 0 {
        format!("({cut} lines before) ")
    } else {
        String::new()
    };
    format!(
        "✗ {}\n{}\n{note}log: {}",
        suite.name,
        lines[cut..].join("\n"),
        project.shown(&outcome.log)
    )
}

/// Prints a line for each suite and the total, which stands alone on the last line.
fn report(ended: &[Ended], absent: &[&str], took: Duration) -> Counts {
    progress::clear();
    println!();
    for Ended { name, counts, took } in ended {
        let mark = if counts.failed == 0 { "✓" } else { "✗" };
        println!(
            "{mark} {name:<12} {:<36} {:>12}",
            told(*counts),
            progress::seconds(*took)
        );
    }
    for name in absent {
        println!("- {name:<12} not run: it has no test yet");
    }
    let total: Counts = ended.iter().map(|suite| suite.counts).sum();
    println!(
        "\ntotal: {} suites in {}",
        ended.len(),
        progress::seconds(took)
    );
    println!("{}", told(total));
    total
}

/// The line that runners of any language close with.
fn told(counts: Counts) -> String {
    let Counts {
        passed,
        failed,
        skipped,
    } = counts;
    let skipped = if skipped > 0 {
        format!(", {skipped} skipped")
    } else {
        String::new()
    };
    format!("{passed} passed, {failed} failed{skipped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_the_plain_closing_line() {
        assert_eq!(
            told(Counts {
                passed: 12,
                failed: 0,
                skipped: 0
            }),
            "12 passed, 0 failed"
        );
        assert_eq!(
            told(Counts {
                passed: 1,
                failed: 2,
                skipped: 3
            }),
            "1 passed, 2 failed, 3 skipped"
        );
    }

    #[test]
    fn only_suites_that_exist_can_be_named() {
        assert!(suite_name("e2e").is_ok());
        assert!(suite_name("e2").unwrap_err().contains("e2e"));
    }
}
