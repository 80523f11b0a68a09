//! The exit statuses, all of them.

use crate::error::ErrorKind;

/// The command did what it was asked for.
pub const DONE: u8 = 0;
/// The input, the database, the network or this machine failed.
pub const FAILED: u8 = 1;
/// The arguments or settings are wrong, and nothing was done. clap uses the same status.
pub const USAGE: u8 = 2;
/// A sealed value does not open. Everything else was done.
pub const DOES_NOT_OPEN: u8 = 3;

/// The status for an error.
pub fn status(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Caller => USAGE,
        ErrorKind::Row => DOES_NOT_OPEN,
        ErrorKind::Input | ErrorKind::Database | ErrorKind::Machine | ErrorKind::Reader => FAILED,
    }
}
