//! The commands. Each reads its arguments, calls `rotation` and prints the result.

use crate::error::{Error, ErrorKind, Result};

pub mod fence;
pub mod generate;
pub mod id;
pub mod open;
pub mod registry;
pub mod retire;
pub mod rotate;
pub mod seal;
pub mod selftest;
pub mod status;
pub mod topics;
pub mod verify;

/// One thread is enough: it seals faster than the database writes.
pub fn wait(command: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Error::new(ErrorKind::Machine, format!("no runtime: {error}")))?
        .block_on(command)
}
