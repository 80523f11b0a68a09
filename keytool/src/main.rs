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
mod confirm;
mod data_keys;
mod diagnosis;
mod error;
mod exit;
mod failed;
mod import;
mod input;
mod keys;
mod output;
mod progress;
mod random;
mod rotation;
mod service;
mod session;
mod settings;
mod shown;
mod signals;
mod store;
mod version;
mod web;

use std::process::ExitCode;

use clap::CommandFactory;

use cli::{Args, Command};
use commands::{
    completions, data_keys as data_keys_command, delete_data_keys, doctor, export, fence, generate,
    id, man, open, registry, retire, rotate, seal, selftest, service_key, status, switch, topics,
    unretire, verify, wait,
};

fn main() -> ExitCode {
    let args = match cli::parse() {
        Ok(args) => args,
        Err(status) => return status,
    };
    match run(&args) {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(error) => failed::report(&error, args.json),
    }
}

fn run(args: &Args) -> error::Result<()> {
    let (keys, json) = (&args.keys, args.json);
    match &args.command {
        Command::Generate(generate) => generate::run(generate, json),
        Command::Id(id) => id::run(id, keys, json),
        Command::Seal(row) => seal::run(row, keys),
        Command::Open(row) => open::run(row, keys),
        Command::Selftest => selftest::run(json),
        Command::Switch(switch) => switch::run(switch, keys, json),
        Command::Status(status) => wait(json, async |p| status::run(status, keys, p).await),
        Command::Rotate(rotate) => wait(json, async |p| rotate::run(rotate, keys, p).await),
        Command::Verify(verify) => wait(json, async |p| verify::run(verify, keys, p).await),
        Command::Fence(fence) => wait(json, async |p| fence::run(fence, keys, p).await),
        Command::Retire(retire) => wait(json, async |p| retire::run(retire, keys, p).await),
        Command::Unretire(unretire) => wait(json, async |p| unretire::run(unretire, keys, p).await),
        Command::Registry(registry) => wait(json, async |p| registry::run(registry, keys, p).await),
        Command::DataKeys(args) => wait(json, async |p| data_keys_command::run(args, p).await),
        Command::DeleteDataKeys(args) => wait(json, async |p| delete_data_keys::run(args, p).await),
        Command::ServiceKey(args) => wait(json, async |p| service_key::run(args, p).await),
        Command::Export(args) => wait(json, async |p| export::run(args, keys, p).await),
        Command::Import(args) => wait(json, async |p| commands::import::run(args, keys, p).await),
        Command::Doctor(args) => wait(json, async |p| doctor::run(args, keys, p).await),
        Command::Completions(args) => completions::run(args, Args::command()),
        Command::Man(args) => man::run(args, Args::command()),
        Command::Help(topic) => topics::run(topic, Args::command()),
    }
}
