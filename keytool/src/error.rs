use std::io::{self, Write};

use crate::shown::on_one_line;

/// Why a command ended, for a person to read: what is wrong, and what to do about it. Never a secret, never a value.
#[derive(Debug)]
pub struct Error {
    blame: Blame,
    message: String,
    hint: Option<String>,
}

/// Who has to do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever set the arguments and the environment.
    Caller,
    /// Whoever made the data on stdin.
    Input,
    /// What is stored does not open.
    Row,
    /// The database did not do it, or is not in the state that the command needs.
    Database,
    /// This machine: files, randomness.
    Machine,
    /// Whoever reads stdout went away. There is nobody to tell.
    Reader,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(blame: Blame, message: impl Into<String>) -> Self {
        Self {
            blame,
            message: message.into(),
            hint: None,
        }
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn blame(&self) -> Blame {
        self.blame
    }

    /// Writes it to stderr. If that is gone too, the exit status has to do.
    pub fn print(&self) {
        if self.blame == Blame::Reader {
            return;
        }
        let mut stderr = io::stderr().lock();
        let _ = writeln!(stderr, "error: {}", on_one_line(&self.message));
        if let Some(hint) = &self.hint {
            let _ = writeln!(stderr, "hint: {}", on_one_line(hint));
        }
    }
}

impl From<sealed::RandomError> for Error {
    fn from(error: sealed::RandomError) -> Self {
        Self::new(Blame::Machine, error.to_string())
    }
}
