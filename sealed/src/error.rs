use std::fmt;

use crate::kid::Kid;
use crate::pointer::SafePointer;

/// The class of a fault, for logs and reports. It is never shown to a caller, and contains no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// `_enc` has a version that this program does not know.
    UnknownVersion,
    /// `_enc` is not `{"v": 2, "kid": "<16 hex digits>"}`.
    MalformedEnc,
    /// The config is sealed with a key that is not in the ring.
    UnknownKey,
    /// A sensitive field holds a string that is not a sealed value: stored in the clear, or truncated.
    NotSealed,
    /// A sealed value is not written as its form requires.
    Malformed,
    /// No key opens the value: wrong key, wrong row or field, or changed bytes.
    NotAuthentic,
    /// The opened value is not UTF-8.
    NotText,
    /// A sensitive field holds a number, a boolean, an object or an array.
    WrongType,
    /// More than [`MAX_DEPTH`](crate::MAX_DEPTH) levels.
    TooDeep,
    /// Beyond [`MAX_VALUE`](crate::MAX_VALUE), [`MAX_VALUES`](crate::MAX_VALUES) or
    /// [`MAX_CONFIG_TEXT`](crate::MAX_CONFIG_TEXT).
    TooLarge,
    /// The config to be sealed has a member `_enc`, which is reserved.
    ReservedName,
}

impl Fault {
    /// The name of the class in logs and in `docs/format.md`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownVersion => "unknown-version",
            Self::MalformedEnc => "malformed-enc",
            Self::UnknownKey => "unknown-key",
            Self::NotSealed => "not-sealed",
            Self::Malformed => "malformed",
            Self::NotAuthentic => "not-authentic",
            Self::NotText => "not-text",
            Self::WrongType => "wrong-type",
            Self::TooDeep => "too-deep",
            Self::TooLarge => "too-large",
            Self::ReservedName => "reserved-name",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A stored config does not open.
///
/// The `Display` is the same for every fault, so that a caller learns nothing. Log [`class`](Self::class) and
/// [`pointer`](Self::pointer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError(Refused);

impl OpenError {
    pub(crate) fn new(fault: Fault, pointer: &str) -> Self {
        Self(Refused::new(fault, pointer))
    }

    /// The class of the fault.
    pub fn class(&self) -> Fault {
        self.0.fault
    }

    /// The field, as a JSON Pointer of at most 200 characters, with control characters escaped.
    pub fn pointer(&self) -> &str {
        self.0.pointer()
    }
}

impl From<Refused> for OpenError {
    fn from(refused: Refused) -> Self {
        Self(refused)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stored credentials do not open")
    }
}

impl std::error::Error for OpenError {}

/// A config cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The config is invalid: its author is to blame.
    Refused(Refused),
    /// The random source failed. Nothing was sealed.
    Random(RandomError),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Random(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SealError {}

impl From<Refused> for SealError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<RandomError> for SealError {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}

/// The fault of a config and its field. The `Display` is for the author of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    fault: Fault,
    pointer: SafePointer,
}

impl Refused {
    pub(crate) fn new(fault: Fault, pointer: &str) -> Self {
        Self {
            fault,
            pointer: SafePointer::new(pointer),
        }
    }

    /// The class of the fault.
    pub fn class(&self) -> Fault {
        self.fault
    }

    /// The field, as in [`OpenError::pointer`].
    pub fn pointer(&self) -> &str {
        self.pointer.as_str()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.fault {
            Fault::ReservedName => "this name is the format's own",
            Fault::WrongType => "a sensitive field must be a string or null",
            Fault::TooDeep => "too many levels",
            Fault::TooLarge => "too large",
            other => other.as_str(),
        };
        write!(
            f,
            "the config cannot be sealed: {why}, at \"{}\"",
            self.pointer()
        )
    }
}

/// A config cannot be rewrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResealError {
    /// It does not open.
    Open(OpenError),
    /// The random source failed. The config stays unchanged.
    Random(RandomError),
}

impl fmt::Display for ResealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Random(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ResealError {}

impl From<OpenError> for ResealError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<RandomError> for ResealError {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}

/// The random source failed. Nothing is sealed without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomError;

impl fmt::Display for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source of randomness failed")
    }
}

impl std::error::Error for RandomError {}

/// A setting holds no valid key, or keys that do not fit together. The error never shows the setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It is not base64.
    NotBase64,
    /// It is base64 of another length.
    WrongLength {
        /// The number of bytes.
        bytes: usize,
    },
    /// The ring contains the same key twice.
    Twice(Kid),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBase64 => f.write_str("a key must be base64 of 32 bytes, this is not base64"),
            Self::WrongLength { bytes } => {
                write!(f, "a key must be base64 of 32 bytes, this is {bytes} bytes")
            }
            Self::Twice(kid) => write!(f, "key {kid} is given twice"),
        }
    }
}

impl std::error::Error for KeyError {}
