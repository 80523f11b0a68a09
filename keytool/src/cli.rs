use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args as ClapArgs, Parser, Subcommand};
use sealed::RowContext;
use uuid::Uuid;

use crate::commands::fence::FenceArgs;
use crate::commands::generate::GenerateArgs;
use crate::commands::id::IdArgs;
use crate::commands::registry::RegistryArgs;
use crate::commands::retire::RetireArgs;
use crate::commands::rotate::RotateArgs;
use crate::commands::status::StatusArgs;
use crate::commands::topics::TopicArgs;
use crate::commands::verify::VerifyArgs;
use crate::exit;
use crate::keys::KeyArgs;
use crate::settings::uuid;
use crate::shown::on_one_line;

const AFTER_HELP: &str = "\
Exit status: 0 done, 1 failed, 2 wrong arguments or settings, 3 something sealed does not open.
Keys are read from ENCRYPTION_KEY and FALLBACK_ENCRYPTION_KEYS or from files, never from an argument; no .env file is read.
The rows are reached by DATABASE_URL, or by SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY.";

/// Makes, checks and rotates the keys that seal the integrations table
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,

    /// Print JSON, for machines
    #[arg(long, global = true)]
    pub json: bool,

    #[command(flatten)]
    pub keys: KeyArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new key: base64 of 32 random bytes, as `openssl rand -base64 32` does, with its id on stderr
    Generate(GenerateArgs),
    /// Print the id of the primary key
    Id(IdArgs),
    /// Seal a config: read it from stdin as JSON, print what belongs in the database
    Seal(PlaceArgs),
    /// Open a config: read it from stdin as it stands in the database, print it with its secrets in the clear
    Open(PlaceArgs),
    /// Check that this program seals and opens as the format says, with known vectors and with a fresh key
    Selftest,
    /// Count the rows by key and open them all: how far a rotation is, and which rows do not open
    Status(StatusArgs),
    /// Move every row to the primary key while the worker keeps writing; if it is killed, run it again
    Rotate(RotateArgs),
    /// Open every row with the given keys, and list those that do not open
    Verify(VerifyArgs),
    /// Make the database reject writes that are not sealed with the primary key
    Fence(FenceArgs),
    /// Verify that no row needs a fallback key, then retire those keys permanently
    Retire(RetireArgs),
    /// Show the fence and the state of each key
    Registry(RegistryArgs),
    /// Print this, a command's help, or how to change the key: `help rotation`
    Help(TopicArgs),
}

/// The row a config belongs to: a sealed value opens in its own row only.
#[derive(ClapArgs, Debug)]
pub struct PlaceArgs {
    /// The row's organization_id
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    organization: Uuid,

    /// The row's id
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    integration: Uuid,
}

impl PlaceArgs {
    pub fn context(&self) -> RowContext {
        RowContext {
            organization_id: self.organization,
            integration_id: self.integration,
        }
    }
}

/// Reads the command line. What is wrong with it has been said when this gives an exit status; help is no error.
pub fn parse() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|error| {
        if error.use_stderr() {
            eprint!("{}", without_values(error));
            return ExitCode::from(exit::USAGE);
        }
        // A reader that has seen enough of the help is no failure.
        let _ = error.print();
        ExitCode::from(exit::DONE)
    })
}

/// clap quotes what it does not understand. Any of it may be a secret that somebody has pasted in the wrong place, and stderr
/// goes into logs: the option is named, and what is suggested instead, never what was given.
fn without_values(mut error: clap::Error) -> String {
    let quoted = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => ContextKind::InvalidValue,
    };
    // An empty one says that there was no value at all.
    let is_given =
        |value: &ContextValue| matches!(value, ContextValue::String(text) if !text.is_empty());
    if error.get(quoted).is_some_and(is_given) {
        error.insert(quoted, ContextValue::String("[not shown]".into()));
    }
    // "to pass '...' as a value, use '-- ...'"
    error.remove(ContextKind::Suggested);
    // A value's own parser may quote a character of it.
    let text = error.to_string();
    text.lines()
        .map(|line| format!("{}\n", on_one_line(line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
