use std::io::{self, Write};

use crate::shown::on_one_line;

/// Why a command failed, for a person: what is wrong and what to do. It holds no secret and no value.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

/// Who must act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The user who set the arguments and the environment.
    Caller,
    /// The producer of stdin.
    Input,
    /// A stored value does not open.
    Row,
    /// The database failed, or is not in the state that the command needs.
    Database,
    /// This machine: its files or its random source.
    Machine,
    /// The reader of stdout has closed it. Nothing is printed.
    Reader,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Writes it to stderr. If that fails, only the exit status remains.
    pub fn print(&self) {
        if self.kind == ErrorKind::Reader {
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
        Self::new(ErrorKind::Machine, error.to_string())
    }
}
