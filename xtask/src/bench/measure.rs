//! What all benches do in the end.

use std::process::{Command, ExitCode, Stdio};

use crate::{failure::Failure, process::Running};

/// Runs a bench's script to its end; what it prints is the result.
pub fn measure(mut node: Command, json: bool) -> Result<ExitCode, Failure> {
    if json {
        node.arg("--json");
    }
    let status = Running::start(node.stdin(Stdio::null()))?.wait()?;
    if status.success() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::new(format!("the bench ended early: {status}")))
    }
}
