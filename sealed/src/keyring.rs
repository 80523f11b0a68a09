use serde_json::Value;

use crate::envelope::{self, Enc, Version};
use crate::error::KeyError;
use crate::key::Key;
use crate::kid::Kid;

/// The keys of a deployment: the primary seals, and every key opens.
#[derive(Debug)]
pub struct KeyRing {
    /// The primary key first.
    keys: Vec<Key>,
}

impl KeyRing {
    /// Makes a ring of `ENCRYPTION_KEY` and `FALLBACK_ENCRYPTION_KEYS`. The same key twice is an error: it is a mistake in the settings,
    /// and a dangerous one during a rotation.
    pub fn new(primary: Key, fallbacks: Vec<Key>) -> Result<Self, KeyError> {
        let mut keys = Vec::with_capacity(1 + fallbacks.len());
        keys.push(primary);
        for key in fallbacks {
            // Two keys with one kid could not be distinguished either. That does not happen by chance.
            if keys
                .iter()
                .any(|known: &Key| known.is(&key) || known.kid() == key.kid())
            {
                return Err(KeyError::Twice(key.kid()));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The id of the primary key.
    pub fn primary_kid(&self) -> Kid {
        self.primary().kid()
    }

    /// The ids of all keys, the primary key's first.
    pub fn kids(&self) -> impl ExactSizeIterator<Item = Kid> + '_ {
        self.keys.iter().map(Key::kid)
    }

    /// The `_enc` of what the primary key seals.
    pub fn enc(&self) -> Value {
        envelope::write(Enc {
            version: Version::V2,
            kid: self.primary_kid(),
        })
    }

    pub(crate) fn primary(&self) -> &Key {
        &self.keys[0]
    }

    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }
}
