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
    /// A stored value does not open, and no key helps.
    Row,
    /// A stored value needs a key, or a version of this program, that is not here. It may be intact.
    Key,
    /// The database failed, or is not in the state that the command needs.
    Database,
    /// The worker failed, or cannot be reached.
    Worker,
    /// Lines of a file could not be imported. The others were.
    Line,
    /// This machine: its files or its random source.
    Machine,
    /// The reader of stdout has closed it. Nothing is printed.
    Reader,
    /// Somebody stopped it with this signal.
    Signal(u8),
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

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl From<sealed::RandomError> for Error {
    fn from(error: sealed::RandomError) -> Self {
        Self::new(ErrorKind::Machine, error.to_string())
    }
}
