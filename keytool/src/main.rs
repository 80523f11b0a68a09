//! `keytool` makes the keys that seal the `integrations` table, seals and opens single configs, and checks itself.
//!
//! ```text
//! $ keytool generate --out key
//! key id: 8c1f6f0be29a7d53
//! $ echo '{"access_token":"secret"}' | keytool --key-file key seal --organization … --integration …
//! ```
//!
//! stdout is data and stderr is for people. Keys come from the environment or from a file that only its owner reads,
//! never from an argument. The exit status is one of [`exit`]'s.

mod args;
mod commands;
mod database;
mod error;
mod exit;
mod input;
mod keys;
mod output;
mod progress;
mod random;
mod registry;
mod rotation;
mod session;
mod settings;
mod shown;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(args) => args,
        Err(status) => return status,
    };
    match commands::run(&args) {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(error) => {
            error.print();
            ExitCode::from(exit::status(error.blame()))
        }
    }
}
