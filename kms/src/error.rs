use std::fmt;

use sealed::{Fault, RandomError};

/// What kind of failure of a key management service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceFault {
    /// No answer, throttled, or broken: a later attempt may succeed.
    Unavailable,
    /// The service refuses: the credentials, their rights, or the state of the key. Somebody has to change something.
    Refused,
}

/// A key management service has not answered, or refuses. That says nothing about the data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceError {
    /// Its kind.
    pub fault: ServiceFault,
    /// The service's code, or what happened. Never a text of the service's.
    pub code: &'static str,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            ServiceFault::Unavailable => "is unavailable",
            ServiceFault::Refused => "refuses",
        };
        write!(f, "AWS KMS {what}: {}", self.code)
    }
}

impl std::error::Error for ServiceError {}

/// A data key was not wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrapError {
    /// The random source failed.
    Random(RandomError),
    /// The service failed.
    Service(ServiceError),
}

/// A data key was not unwrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnwrapError {
    /// The data key does not open, whoever tries: it is damaged, moved, or wrapped by another key.
    Fault(Fault),
    /// The service failed. The data key may be sound.
    Service(ServiceError),
}

impl From<ServiceError> for WrapError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<ServiceError> for UnwrapError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}
