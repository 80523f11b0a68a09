//! The one error of the commands: what went wrong and what to do about it.

use std::fmt;

/// Ended by a signal, as a shell reports it.
const EXIT_INTERRUPTED: u8 = 130;
const EXIT_FAILED: u8 = 1;

#[derive(Debug)]
pub enum Failure {
    /// The user pressed Ctrl-C, or something else asked us to end.
    Interrupted,
    /// A step that could not be done.
    Step {
        message: String,
        hint: Option<String>,
    },
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self::Step {
            message: message.into(),
            hint: None,
        }
    }

    pub fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Step {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// For `map_err` on an operation on a file: names what was being done.
    pub fn io(doing: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::new(format!("{doing}: {error}"))
    }

    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Interrupted)
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted => EXIT_INTERRUPTED,
            Self::Step { .. } => EXIT_FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => write!(f, "interrupted"),
            Self::Step {
                message,
                hint: None,
            } => write!(f, "error: {message}"),
            Self::Step {
                message,
                hint: Some(hint),
            } => write!(f, "error: {message}\nhint: {hint}"),
        }
    }
}
