use std::borrow::Cow;
use std::fmt;

#[derive(Debug)]
pub enum Outcome {
    Imported {
        /// An integration was there, and has got the new credentials.
        replaced: bool,
        /// It ends with its access token: nothing can refresh it.
        ends: bool,
    },
    /// Nothing was changed.
    AlreadyConnected,
    /// It can be sent, and was not: a dry run.
    Ready,
    Failed(Code),
}

/// Why a line was not imported: a stable word, ours or the worker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// The line is no JSON object of the format.
    pub const MALFORMED: Self = Self::own("malformed");
    /// The line, or the credential, is too long.
    pub const TOO_LONG: Self = Self::own("too_long");
    /// Nothing names the integration type.
    pub const NO_TYPE: Self = Self::own("no_type");
    /// The line names no organization, and the command neither.
    pub const NO_ORGANIZATION: Self = Self::own("no_organization");
    /// The grant is of an OAuth app of the organization's own, and an import is one of the deployment's app.
    pub const OWN_OAUTH_APP: Self = Self::own("own_oauth_app");
    /// There is no access token, or no credential at all.
    pub const NO_CREDENTIAL: Self = Self::own("no_credential");
    /// The credential is of a kind that no type has.
    pub const UNSUPPORTED: Self = Self::own("unsupported_credential");
    /// The credential is encrypted, with a key that only its application has.
    pub const ENCRYPTED: Self = Self::own("encrypted");
    /// The config does not open with the given keys.
    pub const DOES_NOT_OPEN: Self = Self::own("does_not_open");

    const fn own(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// A code of the worker's. None: it is none, and is not shown.
    pub fn of_worker(word: &str) -> Option<Self> {
        let is_one = (1..=64).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        is_one.then(|| Self(Cow::Owned(word.to_owned())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
