//! The exit statuses, all of them.

use crate::error::ErrorKind;

/// The command did what it was asked for.
pub const DONE: u8 = 0;
/// The input, the database, the network or this machine failed.
pub const FAILED: u8 = 1;
/// The arguments or settings are wrong, and nothing was done. clap uses the same status.
pub const USAGE: u8 = 2;
/// A sealed value does not open, and no key helps. Everything else was done, unless the message says that nothing was written.
pub const DOES_NOT_OPEN: u8 = 3;
/// Something is sealed with a key, or in a version, that this program was not given. Everything else was done, unless the message says that
/// nothing was written.
pub const KEY_MISSING: u8 = 4;
/// Lines of a file were not imported. The others were.
pub const NOT_IMPORTED: u8 = 5;
/// A signal stopped it: this and the signal's number, as shells have it. 130 for Ctrl-C, 143 for TERM.
const SIGNAL: u8 = 128;

pub fn status(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Caller => USAGE,
        ErrorKind::Row => DOES_NOT_OPEN,
        ErrorKind::Key => KEY_MISSING,
        ErrorKind::Line => NOT_IMPORTED,
        ErrorKind::Input
        | ErrorKind::Database
        | ErrorKind::Worker
        | ErrorKind::Machine
        | ErrorKind::Reader => FAILED,
        ErrorKind::Signal(number) => SIGNAL + number,
    }
}
