use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use sealed::Key;
use serde_json::json;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::{output, random};

#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// Write the key to this new file, which only its owner can read, instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(args: &GenerateArgs, json: bool) -> Result<()> {
    let mut bytes = Zeroizing::new([0; 32]);
    random::fill(&mut *bytes)?;
    let key = Key::from_bytes(*bytes);
    let text = key.to_base64();
    let kid = key.kid().to_string();
    match (&args.out, json) {
        (Some(path), json) => {
            write_new(path, text.expose())?;
            if json {
                return output::json(&json!({"kid": kid}));
            }
        }
        (None, true) => return output::json(&json!({"key": text.expose(), "kid": kid})),
        (None, false) => output::line(text.expose())?,
    }
    eprintln!("key id: {kid}");
    Ok(())
}

/// The file must not exist: whoever overwrites a key loses everything that is sealed with it.
pub fn write_new(path: &Path, text: &str) -> Result<()> {
    let mut file = new_file(path)?;
    let mut write = || -> io::Result<()> {
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(|error| {
        // Part of a key is useless, and the file would block the next attempt. This run has created the file.
        let _ = std::fs::remove_file(path);
        Error::new(
            ErrorKind::Machine,
            format!("the file of --out cannot be written: {error}"),
        )
    })
}

/// Creates a file that its owner alone can read.
pub fn new_file(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::new(ErrorKind::Caller, "the file of --out exists")
            .hint("no file is ever overwritten: choose another name, or move that one away"),
        _ => Error::new(
            ErrorKind::Caller,
            format!("the file of --out cannot be made: {error}"),
        ),
    })
}
