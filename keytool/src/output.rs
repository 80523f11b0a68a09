use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::{Blame, Error, Result};

/// Writes a line of data to stdout.
pub fn line(text: &str) -> Result<()> {
    write(format_args!("{text}\n"))
}

/// Writes a JSON value to stdout, on one line.
pub fn json(value: &impl Serialize) -> Result<()> {
    // It may hold secrets, as `open` and `generate` are there to show them, so no copy is to stay.
    let text = serde_json::to_string(value).map(Zeroizing::new);
    let text = text.map_err(|error| Error::new(Blame::Machine, format!("no JSON: {error}")))?;
    line(&text)
}

fn write(text: std::fmt::Arguments<'_>) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_fmt(text)
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Error::new(Blame::Reader, "nobody reads stdout"),
            _ => Error::new(Blame::Machine, format!("stdout cannot be written: {error}")),
        })
}
