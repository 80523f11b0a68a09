pub mod generate;
pub mod id;
mod open;
mod seal;
mod selftest;
mod vectors;

use crate::args::{Args, Command};
use crate::error::Result;

pub fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Generate(generate) => generate::run(generate, args.json),
        Command::Id(id) => id::run(id, &args.keys, args.json),
        Command::Seal(place) => seal::run(&place.place(), &args.keys),
        Command::Open(place) => open::run(&place.place(), &args.keys),
        Command::Selftest => selftest::run(args.json),
    }
}
