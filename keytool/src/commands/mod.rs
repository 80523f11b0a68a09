pub mod fence;
pub mod generate;
pub mod id;
mod open;
pub mod registry;
pub mod retire;
pub mod rotate;
mod seal;
mod selftest;
pub mod status;
pub mod topics;
mod vectors;
pub mod verify;

use crate::args::{Args, Command};
use crate::error::{Blame, Error, Result};

pub fn run(args: &Args) -> Result<()> {
    let (keys, json) = (&args.keys, args.json);
    match &args.command {
        Command::Generate(generate) => generate::run(generate, json),
        Command::Id(id) => id::run(id, keys, json),
        Command::Seal(place) => seal::run(&place.place(), keys),
        Command::Open(place) => open::run(&place.place(), keys),
        Command::Selftest => selftest::run(json),
        Command::Status(status) => wait(status::run(status, keys, json)),
        Command::Rotate(rotate) => wait(rotate::run(rotate, keys, json)),
        Command::Verify(verify) => wait(verify::run(verify, keys, json)),
        Command::Fence(fence) => wait(fence::run(fence, keys, json)),
        Command::Retire(retire) => wait(retire::run(retire, keys, json)),
        Command::Registry(registry) => wait(registry::run(registry, json)),
        Command::Help(topic) => topics::run(topic),
    }
}

/// One thread is enough: it seals faster than a database of this size writes.
fn wait(command: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Error::new(Blame::Machine, format!("no runtime: {error}")))?
        .block_on(command)
}
