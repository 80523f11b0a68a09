//! Reports a command's error.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;

use crate::error::{Error, ErrorKind};
use crate::shown::on_one_line;
use crate::{exit, output};

/// Writes it to stderr; with `--json` to stdout too, as the last event. If that fails, only the exit status remains.
pub fn report(error: &Error, json: bool) -> ExitCode {
    let status = exit::status(error.kind());
    if error.kind() == ErrorKind::Reader {
        return ExitCode::from(status);
    }
    if json {
        event(error.message(), error.advice(), status);
    }
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "error: {}", on_one_line(error.message()));
    if let Some(hint) = error.advice() {
        let _ = writeln!(stderr, "hint: {}", on_one_line(hint));
    }
    ExitCode::from(status)
}

pub fn event(message: &str, hint: Option<&str>, status: u8) {
    drop(output::json(&json!({
        "event": "error", "message": message, "hint": hint, "exit_status": status,
    })));
}
