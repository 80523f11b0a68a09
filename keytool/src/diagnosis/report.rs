use std::cell::Cell;
use std::rc::Rc;

use serde_json::json;

use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// Prints each check as it is made, and counts what is wrong.
pub struct Report {
    progress: Rc<Progress>,
    wrong: Cell<u32>,
    /// The kind of the first problem, which decides the exit status.
    first: Cell<Option<ErrorKind>>,
}

impl Report {
    pub fn new(progress: Rc<Progress>) -> Self {
        Self {
            progress,
            wrong: Cell::new(0),
            first: Cell::new(None),
        }
    }

    pub fn ok(&self, check: &str, message: &str) -> Result<()> {
        self.print("ok", check, message, None)
    }

    /// Something that may be on purpose, or is to be done later.
    pub fn note(&self, check: &str, message: &str, hint: &str) -> Result<()> {
        self.print("note", check, message, Some(hint))
    }

    pub fn wrong(&self, check: &str, error: &Error) -> Result<()> {
        self.wrong.set(self.wrong.get() + 1);
        self.first.set(self.first.get().or(Some(error.kind())));
        self.print("wrong", check, error.message(), error.advice())
    }

    /// `ok` if it is, `wrong` if not.
    pub fn outcome(&self, check: &str, outcome: Result<()>, ok: &str) -> Result<()> {
        match outcome {
            Ok(()) => self.ok(check, ok),
            Err(error) => self.wrong(check, &error),
        }
    }

    /// Fails if anything is wrong.
    pub fn end(&self) -> Result<()> {
        let Some(kind) = self.first.get() else {
            return Ok(());
        };
        let message = match self.wrong.get() {
            1 => "1 check found something wrong".to_owned(),
            wrong => format!("{wrong} checks found something wrong"),
        };
        Err(Error::new(kind, message).hint("begin with the first line that starts with `wrong`"))
    }

    fn print(&self, state: &str, check: &str, message: &str, hint: Option<&str>) -> Result<()> {
        let event = json!({"event": "doctor_check", "check": check, "state": state, "message": message, "hint": hint});
        self.progress
            .step(&event, &format!("{state:<6} {check}: {message}"))?;
        match hint {
            Some(hint) if !self.progress.is_json() => self.progress.say(&format!("       {hint}")),
            _ => Ok(()),
        }
    }
}
