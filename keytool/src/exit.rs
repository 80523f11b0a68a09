//! The exit statuses, all of them.

use crate::error::Blame;

/// Everything asked for was done.
pub const DONE: u8 = 0;
/// It failed: the input, the database, the network or this machine.
pub const FAILED: u8 = 1;
/// The arguments or the settings are not right; nothing was done. clap uses the same.
pub const USAGE: u8 = 2;
/// Something sealed does not open. Whatever else could be done was done.
pub const DOES_NOT_OPEN: u8 = 3;

/// The status for an error.
pub fn status(blame: Blame) -> u8 {
    match blame {
        Blame::Caller => USAGE,
        Blame::Row => DOES_NOT_OPEN,
        Blame::Input | Blame::Database | Blame::Machine | Blame::Reader => FAILED,
    }
}
