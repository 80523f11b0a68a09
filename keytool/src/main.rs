//! `keytool` generates and rotates the keys that seal the `integrations` table, and seals and opens single configs.
//!
//! ```text
//! $ keytool generate --out key
//! key id: 8c1f6f0be29a7d53
//! $ echo '{"access_token":"secret"}' | keytool --key-file key seal --organization … --integration …
//! ```
//!
//! stdout is data, stderr is for people. Keys come from the environment or from a file that only its owner can read,
//! never from an argument. [`exit`] lists the exit statuses.

mod cli;
mod commands;
mod config;
mod error;
mod exit;
mod input;
mod keys;
mod output;
mod progress;
mod random;
mod rotation;
mod session;
mod settings;
mod shown;
mod store;

use std::process::ExitCode;

use clap::CommandFactory;

use cli::{Args, Command};
use commands::{
    fence, generate, id, open, registry, retire, rotate, seal, selftest, status, topics, verify,
    wait,
};

fn main() -> ExitCode {
    let args = match cli::parse() {
        Ok(args) => args,
        Err(status) => return status,
    };
    match run(&args) {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(error) => {
            error.print();
            ExitCode::from(exit::status(error.kind()))
        }
    }
}

fn run(args: &Args) -> error::Result<()> {
    let (keys, json) = (&args.keys, args.json);
    match &args.command {
        Command::Generate(generate) => generate::run(generate, json),
        Command::Id(id) => id::run(id, keys, json),
        Command::Seal(context) => seal::run(&context.context(), keys),
        Command::Open(context) => open::run(&context.context(), keys),
        Command::Selftest => selftest::run(json),
        Command::Status(status) => wait(status::run(status, keys, json)),
        Command::Rotate(rotate) => wait(rotate::run(rotate, keys, json)),
        Command::Verify(verify) => wait(verify::run(verify, keys, json)),
        Command::Fence(fence) => wait(fence::run(fence, keys, json)),
        Command::Retire(retire) => wait(retire::run(retire, keys, json)),
        Command::Registry(registry) => wait(registry::run(registry, json)),
        Command::Help(topic) => topics::run(topic, Args::command()),
    }
}
