use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args as ClapArgs, Parser, Subcommand};
use kms::WrappingKeys;
use sealed::RowContext;
use uuid::Uuid;

use crate::commands::block_on;
use crate::commands::completions::CompletionsArgs;
use crate::commands::data_keys::DataKeysArgs;
use crate::commands::delete_data_keys::DeleteDataKeysArgs;
use crate::commands::doctor::DoctorArgs;
use crate::commands::export::ExportArgs;
use crate::commands::fence::FenceArgs;
use crate::commands::generate::GenerateArgs;
use crate::commands::id::IdArgs;
use crate::commands::import::ImportArgs;
use crate::commands::man::ManArgs;
use crate::commands::registry::RegistryArgs;
use crate::commands::retire::RetireArgs;
use crate::commands::rotate::RotateArgs;
use crate::commands::service_key::ServiceKeyArgs;
use crate::commands::status::StatusArgs;
use crate::commands::switch::SwitchArgs;
use crate::commands::topics::TopicArgs;
use crate::commands::unretire::UnretireArgs;
use crate::commands::verify::VerifyArgs;
use crate::data_keys::DataKeys;
use crate::error::Result;
use crate::exit;
use crate::failed;
use crate::keys::KeyArgs;
use crate::settings::uuid;
use crate::shown::on_one_line;
use crate::version::VERSION;

const AFTER_HELP: &str = "\
Exit status: 0 done, 1 failed, 2 wrong arguments or settings, 3 rows that no key opens, 4 rows whose key is not here, 5 lines that were not imported, 130 or 143 stopped.
keytool reads keys from ENCRYPTION_KEY and FALLBACK_ENCRYPTION_KEYS, or from files. It takes no key as an argument and reads no .env file.
It connects to the database with DATABASE_URL, or with SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY; to the worker's API with SERVICE_KEY.";

/// Generates, checks and rotates the keys that seal the table integrations
#[derive(Debug, Parser)]
#[command(version = VERSION, after_help = AFTER_HELP, disable_help_subcommand = true)]
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
    /// Generate a key as base64 of 32 random bytes, and print its id on stderr
    Generate(GenerateArgs),
    /// Print the id of the primary key
    Id(IdArgs),
    /// Read a config from stdin as JSON, seal it and print it
    Seal(RowArgs),
    /// Read a sealed config from stdin, open it and print its secrets in the clear
    Open(RowArgs),
    /// Check this program against the format's test vectors and with a fresh key
    Selftest,
    /// Count the rows by key, open each row and report those that do not open
    Status(StatusArgs),
    /// Rewrap every row with the primary key; the worker keeps running, and a stopped run can be repeated
    Rotate(RotateArgs),
    /// Open every row with the given keys and list those that do not open
    Verify(VerifyArgs),
    /// Make the database reject writes that are not sealed with the primary key
    Fence(FenceArgs),
    /// Verify that no row needs a fallback key, then retire those keys: keytool refuses them as a primary key from then on
    Retire(RetireArgs),
    /// Allow a retired key as a primary key again, if it was retired by mistake
    Unretire(UnretireArgs),
    /// Write the two settings in each other's place to a file for `wrangler secret bulk`
    Switch(SwitchArgs),
    /// Show the fence and the state of each key
    Registry(RegistryArgs),
    /// Print the wrapped data keys of an organization as JSON, for `open --data-keys`
    ///
    /// Nobody opens them without the key that wraps them. Keep them apart from it all the same.
    DataKeys(DataKeysArgs),
    /// Delete the data keys of an organization: what they have sealed opens no more
    ///
    /// It says first how many integrations, webhook endpoints and OAuth apps become unreadable, and asks. No grant is revoked by it:
    /// disconnect the integrations first. A backup of private.data_keys brings the keys back. It needs DATABASE_URL, as the database's owner.
    DeleteDataKeys(DeleteDataKeysArgs),
    /// Create, list and revoke the service keys that programs call the API with
    ServiceKey(ServiceKeyArgs),
    /// Write connections with their credentials to a file that is encrypted for an age recipient
    Export(ExportArgs),
    /// Import connections from a file through the worker's API; run again, it stores nothing twice
    Import(ImportArgs),
    /// Check the settings, the database, the keys and which keytool runs, and say what is wrong
    Doctor(DoctorArgs),
    /// Print the script that completes commands in a shell
    Completions(CompletionsArgs),
    /// Write the man pages to a folder
    #[command(hide = true)]
    Man(ManArgs),
    /// Print this help, the help of a command, or the steps of a rotation (`help rotation`)
    Help(TopicArgs),
}

/// The row of a config. A sealed value opens in its own row only.
#[derive(ClapArgs, Debug)]
pub struct RowArgs {
    /// The row's organization_id
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    organization: Uuid,

    /// The row's id
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    integration: Uuid,

    /// The wrapped data keys of the organization, as `keytool data-keys` prints them
    #[arg(long, value_name = "FILE")]
    data_keys: Option<PathBuf>,
}

impl RowArgs {
    /// Those of `--data-keys`, unwrapped. `None`: there is no such file.
    pub fn data_keys(&self, ring: &WrappingKeys) -> Result<Option<DataKeys>> {
        let Some(path) = &self.data_keys else {
            return Ok(None);
        };
        block_on(DataKeys::from_file(ring, path)).map(Some)
    }

    pub fn context(&self) -> RowContext {
        RowContext {
            organization_id: self.organization,
            integration_id: self.integration,
        }
    }
}

/// Reads the command line. An exit status means that the error, or the help, has been printed.
pub fn parse() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|error| {
        if error.use_stderr() {
            let text = without_values(error);
            // Nothing was parsed, but whoever reads events has to learn of it.
            if std::env::args_os().any(|argument| argument == "--json") {
                let message = text.lines().next().unwrap_or_default();
                let message = message.strip_prefix("error: ").unwrap_or(message);
                failed::event(message, None, exit::USAGE);
            }
            eprint!("{text}");
            return ExitCode::from(exit::USAGE);
        }
        // A reader that has seen enough of the help is no failure.
        let _ = error.print();
        ExitCode::from(exit::DONE)
    })
}

/// clap quotes what it does not understand. That may be a secret that somebody has pasted in the wrong place, and stderr is logged.
/// So the message names the option and clap's suggestion, never the value.
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
