//! The exit statuses.

use std::process::ExitCode;

use checks::Status;

use crate::drive::Scanned;

/// The exit status of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that applies passes; some of it may be for a person to look at.
    Passed = 0,
    /// Something fails.
    Findings = 1,
    /// The command was used wrongly, or could not begin.
    Usage = 2,
    /// Nothing fails, but something could not be seen.
    Unknown = 3,
}

impl Exit {
    pub fn of(scanned: &Scanned) -> Self {
        let any = |status| scanned.coverage.iter().any(|check| check.status == status);
        if any(Status::Fail) {
            Self::Findings
        } else if any(Status::Unknown) || scanned.ended.is_some() {
            Self::Unknown
        } else {
            Self::Passed
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
