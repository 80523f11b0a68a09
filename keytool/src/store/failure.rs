use std::fmt;

use crate::error::{Error, ErrorKind};

/// The database did not do what it was asked to.
#[derive(Clone, Debug)]
pub struct Failure {
    pub cause: Cause,
    /// What it said: never with a value of a row, a password or a key in it.
    pub message: String,
}

/// Why, as far as it matters for what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It cannot be reached, or the connection went away. Asking again may help.
    Unreachable,
    /// Somebody else holds a lock, or the server is too busy. Asking again later may help.
    Busy,
    /// The functions are not there.
    NotMigrated,
    /// The role may not call them.
    Forbidden,
    /// The password or the key was not accepted.
    Unauthenticated,
    /// A rotation's fence does not allow the key that rows were sealed with.
    Fenced,
    /// Anything else that it refused.
    Refused,
}

impl Failure {
    pub fn new(cause: Cause, message: impl fmt::Display) -> Self {
        Self {
            cause,
            message: message.to_string(),
        }
    }

    /// Of an error that PostgreSQL answered with, by its SQLSTATE.
    pub fn of_state(state: &str, message: &str) -> Self {
        let cause = match state {
            "IK001" => Cause::Fenced,
            "42883" | "42P01" | "3F000" => Cause::NotMigrated,
            "42501" => Cause::Forbidden,
            "28000" | "28P01" => Cause::Unauthenticated,
            // Lock timeout, deadlock, serialization; cancelled; too many connections; too little memory or disk for now.
            "55P03" | "40P01" | "40001" | "57014" | "53300" | "53000" | "53100" | "53200" => {
                Cause::Busy
            }
            // A shutdown, a start, a lost connection.
            "57P01" | "57P02" | "57P03" => Cause::Unreachable,
            state if state.starts_with("08") => Cause::Unreachable,
            _ => Cause::Refused,
        };
        Self::new(cause, format_args!("{message} ({state})"))
    }

    /// Whether to ask again.
    pub fn may_pass(&self) -> bool {
        matches!(self.cause, Cause::Unreachable | Cause::Busy)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let message = &failure.message;
        match failure.cause {
            Cause::Unreachable => Self::new(
                ErrorKind::Database,
                format!("the database cannot be reached: {message}"),
            )
            .hint("check the address, the network and whether the server runs; run the command again to go on"),
            Cause::Busy => Self::new(ErrorKind::Database, format!("the database is busy: {message}"))
                .hint("nothing is half done: run the command again later"),
            Cause::NotMigrated => Self::new(
                ErrorKind::Database,
                format!("the database lacks what this program calls: {message}"),
            )
            .hint("is it the right database? then apply `migrations/` to it (`supabase db push`)"),
            Cause::Forbidden => Self::new(
                ErrorKind::Database,
                format!("the database does not allow it: {message}"),
            )
            .hint("connect as the owner (postgres), or use the service key: no other role may read configs"),
            Cause::Unauthenticated => Self::new(
                ErrorKind::Caller,
                format!("the database does not accept the credentials: {message}"),
            )
            .hint("check the password in DATABASE_URL, or SUPABASE_SERVICE_ROLE_KEY"),
            Cause::Fenced => Self::new(ErrorKind::Caller, "the fence does not allow the primary key")
                .hint("`keytool registry` shows which it allows; is ENCRYPTION_KEY the new key?"),
            Cause::Refused => Self::new(ErrorKind::Database, format!("the database refused: {message}"))
                .hint("is it the right database, and are its migrations those of this version?"),
        }
    }
}

/// The answer of a function is none of those that this program knows.
pub fn unexpected_outcome(outcome: &str) -> Error {
    Error::new(
        ErrorKind::Database,
        format!("the database answers \"{outcome}\", which this program does not know"),
    )
    .hint("is keytool older than the migrations?")
}
