use std::fmt;

use crate::error::{Error, ErrorKind};

#[derive(Clone, Debug)]
pub struct Failure {
    pub cause: Cause,
    /// The database's message. It holds no value of a row, no password and no key.
    pub message: String,
}

/// The cause, as far as it decides what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Unreachable, or the connection was lost. Retrying may help.
    Unreachable,
    /// A lock is held by another transaction, or the server is overloaded. Retrying later may help.
    Busy,
    /// The server offers no TLS.
    NoTls,
    /// It takes no writes.
    ReadOnly,
    /// Something answers there that is no PostgREST.
    NoService,
    /// The functions do not exist.
    NotMigrated,
    /// The role may not call the functions.
    Forbidden,
    /// The password or the key was rejected.
    Unauthenticated,
    /// The fence of a rotation does not allow the key that the rows were sealed with.
    Fenced,
    /// The data key that the rows were sealed with has been deleted.
    NoDataKey,
    /// Only a direct connection can do it.
    NotDirect,
    Refused,
}

impl Failure {
    pub fn new(cause: Cause, message: impl fmt::Display) -> Self {
        Self {
            cause,
            message: message.to_string(),
        }
    }

    /// Reads an error of PostgreSQL by its SQLSTATE.
    pub fn of_state(state: &str, message: &str) -> Self {
        let cause = match state {
            "IK001" => Cause::Fenced,
            "IK004" => Cause::NoDataKey,
            "42883" | "42P01" | "3F000" => Cause::NotMigrated,
            "42501" => Cause::Forbidden,
            "25006" => Cause::ReadOnly,
            "28000" | "28P01" => Cause::Unauthenticated,
            // Lock timeout, deadlock, serialization failure, cancelled, too many connections, out of memory or disk.
            "55P03" | "40P01" | "40001" | "57014" | "53300" | "53000" | "53100" | "53200" => {
                Cause::Busy
            }
            // Shutting down, starting up, or a lost connection.
            "57P01" | "57P02" | "57P03" => Cause::Unreachable,
            state if state.starts_with("08") => Cause::Unreachable,
            _ => Cause::Refused,
        };
        Self::new(cause, format_args!("{message} ({state})"))
    }

    /// Whether to retry the call.
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
            Cause::NoTls => Self::new(
                ErrorKind::Database,
                format!("the connection is not encrypted: {message}"),
            )
            .hint("the password was not sent; a server of your own without TLS: add sslmode=disable to DATABASE_URL, if nobody can listen on the way"),
            Cause::ReadOnly => Self::new(
                ErrorKind::Database,
                format!("the database takes no writes: {message}"),
            )
            .hint("this is a replica, or a project that is out of disk or paused: connect to the primary server, or make room first"),
            Cause::NoService => Self::new(
                ErrorKind::Caller,
                format!("there is no PostgREST at this address: {message}"),
            )
            .hint("SUPABASE_URL is the project's own address, https://your-project.supabase.co, without a path; is the project paused or deleted?"),
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
            Cause::NoDataKey => Self::new(
                ErrorKind::Database,
                "the data keys of an organization were deleted meanwhile",
            )
            .hint("run the command again to go on"),
            Cause::NotDirect => Self::new(ErrorKind::Caller, failure.message)
                .hint("set DATABASE_URL: the project's secret key must not be able to delete what opens all credentials"),
            Cause::Refused => Self::new(ErrorKind::Database, format!("the database refused: {message}"))
                .hint("is it the right database, and are its migrations those of this version?"),
        }
    }
}

/// A function's result that this program does not know.
pub fn unexpected_outcome(outcome: &str) -> Error {
    Error::new(
        ErrorKind::Database,
        format!("the database answers \"{outcome}\", which this program does not know"),
    )
    .hint("is keytool older than the migrations?")
}
