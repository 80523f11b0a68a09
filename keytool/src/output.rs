use std::io::{self, Write};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::shown::{in_json, on_one_line};

/// Writes a line of data to stdout. Line breaks in it are escaped.
pub fn line(text: &str) -> Result<()> {
    // It may be a key, so the buffer is zeroized.
    let text = Zeroizing::new(on_one_line(text));
    write(format_args!("{}\n", text.as_str()))
}

/// Writes this program's own text, of any number of lines, to stdout.
pub fn text(text: &str) -> Result<()> {
    write(format_args!("{text}\n"))
}

/// Writes a JSON value to stdout, on one line.
pub fn json(value: &impl Serialize) -> Result<()> {
    // `open` and `generate` print secrets, so the buffer is zeroized.
    let text = serde_json::to_string(value).map(Zeroizing::new);
    let text = text.map_err(|error| Error::new(ErrorKind::Machine, format!("no JSON: {error}")))?;
    let text = Zeroizing::new(in_json(&text));
    write(format_args!("{}\n", text.as_str()))
}

fn write(text: std::fmt::Arguments<'_>) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_fmt(text)
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Error::new(ErrorKind::Reader, "nobody reads stdout"),
            _ => Error::new(
                ErrorKind::Machine,
                format!("stdout cannot be written: {error}"),
            ),
        })
}
