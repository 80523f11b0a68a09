//! Wrapped data keys, as the functions of the database take and return them.

use sealed::{Kid, WrappedKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::failure::unexpected_outcome;
use crate::error::Result;

/// A wrapped data key of an organization.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StoredDataKey {
    pub organization_id: Uuid,
    #[serde(with = "text")]
    kid: Kid,
    #[serde(with = "text")]
    wrapping_kid: Kid,
    wrapped: String,
    /// Another key has wrapped it before, so whoever had that key may know this one.
    #[serde(default, skip_serializing)]
    pub rewrapped: bool,
    /// It opens, and seals nothing more.
    #[serde(default, skip_serializing)]
    pub replaced: bool,
}

/// A data key that another key now wraps.
#[derive(Debug, Serialize)]
pub struct Rewrapped {
    #[serde(flatten)]
    data_key: StoredDataKey,
    /// How it was wrapped when it was read.
    read: String,
}

/// A new data key of an organization.
#[derive(Debug, Serialize)]
pub struct Replacement {
    #[serde(flatten)]
    data_key: StoredDataKey,
    /// The one that it replaces.
    #[serde(with = "text")]
    replaced: Kid,
}

impl StoredDataKey {
    pub fn new(organization_id: Uuid, key: WrappedKey) -> Self {
        Self {
            organization_id,
            kid: key.kid,
            wrapping_kid: key.wrapping_kid,
            wrapped: key.wrapped,
            rewrapped: false,
            replaced: false,
        }
    }

    pub fn kid(&self) -> Kid {
        self.kid
    }

    pub fn wrapping_kid(&self) -> Kid {
        self.wrapping_kid
    }

    pub fn wrapped(&self) -> WrappedKey {
        WrappedKey {
            kid: self.kid,
            wrapping_kid: self.wrapping_kid,
            wrapped: self.wrapped.clone(),
        }
    }

    pub fn rewrapped_as(&self, key: WrappedKey) -> Rewrapped {
        Rewrapped {
            data_key: Self::new(self.organization_id, key),
            read: self.wrapped.clone(),
        }
    }

    pub fn replaced_by(&self, key: WrappedKey) -> Replacement {
        Replacement {
            data_key: Self::new(self.organization_id, key),
            replaced: self.kid,
        }
    }
}

/// Reads the data keys in a function's answer.
pub fn read(answer: &Value) -> Result<Vec<StoredDataKey>> {
    Vec::deserialize(&answer["data_keys"])
        .map_err(|_| unexpected_outcome("data keys that cannot be read"))
}

/// How many data keys a function says that it has written, of so many.
pub fn count(answer: &Value, of: usize) -> Result<u64> {
    answer["count"]
        .as_u64()
        .filter(|count| *count <= of as u64)
        .ok_or_else(|| unexpected_outcome("an impossible number of data keys"))
}

/// A key id as the text that it is in JSON.
mod text {
    use sealed::Kid;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(kid: &Kid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(kid)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kid, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|_| Error::custom("no key id"))
    }
}
