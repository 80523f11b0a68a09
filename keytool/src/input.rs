use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::config::parse;
use crate::error::{Error, ErrorKind, Result};

/// Larger than any config that can be sealed, as JSON.
const MAX_STDIN: usize = 8 * 1024 * 1024;

/// Reads one config, a JSON object, from stdin.
pub fn config() -> Result<Map<String, Value>> {
    let stdin = io::stdin().lock();
    if stdin.is_terminal() {
        eprintln!("hint: waiting for a config (a JSON object) on stdin");
    }
    let text = read_bounded(stdin, MAX_STDIN)
        .map_err(|error| Error::new(ErrorKind::Machine, format!("stdin cannot be read: {error}")))?
        .ok_or_else(|| {
            let message = format!("the config on stdin is larger than {MAX_STDIN} bytes");
            Error::new(ErrorKind::Input, message)
        })?;
    let text = str::from_utf8(&text).map_err(|_| not_a_config("not UTF-8 text".into()))?;
    parse(text).map_err(|why| not_a_config(why.to_string()))
}

/// Reads a file that holds one JSON value.
pub fn json_file(path: &Path, name: &str) -> Result<Value> {
    let unreadable = |why: &dyn fmt::Display| {
        Error::new(ErrorKind::Caller, format!("{name} cannot be read: {why}"))
    };
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let text = read_bounded(file, MAX_STDIN)
        .map_err(|error| unreadable(&error))?
        .ok_or_else(|| unreadable(&format_args!("it is larger than {MAX_STDIN} bytes")))?;
    serde_json::from_slice(&text).map_err(|_| unreadable(&"it is not JSON"))
}

fn not_a_config(why: String) -> Error {
    Error::new(ErrorKind::Input, format!("the config on stdin: {why}"))
        .hint("give the value of integrations.config, a JSON object")
}

/// Reads everything, or returns `None` if it is more than `max` bytes. The buffer is large at once, because a buffer that grows leaves
/// parts of a secret in memory.
pub fn read_bounded(reader: impl Read, max: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(max.min(64 * 1024)));
    reader.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= max).then_some(bytes))
}
