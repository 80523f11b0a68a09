//! Doc comments that rustdoc rejects: a link to a name that is not there, most of all.

use std::fs;

use super::counts::Findings;
use crate::{failure::Failure, process, project::Project};

/// What is documented: everything natively, and the worker's handlers and jobs, which exist for wasm only.
const RUNS: [&[&str]; 2] = [
    &["--workspace"],
    &["--package", "edge", "--target", "wasm32-unknown-unknown"],
];

/// Every fault that rustdoc finds, private items included.
pub fn faults(project: &Project) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    for run in RUNS {
        let log = project.log("rustdoc")?;
        let mut cargo = project.cargo();
        cargo
            .args([
                "doc",
                "--no-deps",
                "--document-private-items",
                "--keep-going",
            ])
            .args(run)
            .env("RUSTDOCFLAGS", "--deny warnings");
        let succeeded = process::run_into(&log, &mut cargo)?.success();
        findings.checked += 1;
        if succeeded {
            continue;
        }
        let output = fs::read_to_string(&log).map_err(Failure::io("cannot read a log"))?;
        let errors = errors(&output);
        findings.checked += errors.len();
        findings.faults.extend(errors);
        findings
            .faults
            .push(format!("cargo doc {} failed", run.join(" ")));
    }
    Ok(findings)
}

/// The errors in cargo's output, each with its place.
fn errors(output: &str) -> Vec<String> {
    let mut errors: Vec<String> = Vec::new();
    let mut lines = output.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with("error") {
            continue;
        }
        let place = lines.next_if(|next| next.trim_start().starts_with("--> "));
        let place = place.map(|place| place.trim().replacen("--> ", "", 1));
        errors.push(match place {
            Some(place) => format!("{place}: {line}"),
            None => line.to_owned(),
        });
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::errors;

    #[test]
    fn an_error_is_shown_with_its_place() {
        let output = " Documenting edge v0.1.0\n\
            error: unresolved link to `Response::code`\n   --> worker/src/oauth/callback.rs:6:20\n    |\n\
            error: could not document `edge`\n";
        assert_eq!(
            errors(output),
            [
                "worker/src/oauth/callback.rs:6:20: error: unresolved link to `Response::code`",
                "error: could not document `edge`"
            ]
        );
    }
}
