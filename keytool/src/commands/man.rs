use std::fs;
use std::path::PathBuf;

use clap::{Args, Command};

use crate::error::{Error, ErrorKind, Result};

#[derive(Args, Debug)]
pub struct ManArgs {
    /// The folder to write to, one page for each command; it is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// `command` is the whole command line.
pub fn run(args: &ManArgs, command: Command) -> Result<()> {
    fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(command, &args.folder))
        .map_err(|error| {
            Error::new(
                ErrorKind::Machine,
                format!("the man pages cannot be written: {error}"),
            )
            .hint("give a folder that you can write to")
        })
}
