use serde_json::Value;

use crate::config::StoredConfig;
use crate::envelope::{self, Enc, Version};
use crate::error::{KeyError, OpenError, ResealError, SealError};
use crate::key::Key;
use crate::kid::Kid;
use crate::organization_keys::OrganizationKeys;
use crate::plain::PlainConfig;
use crate::random::Random;
use crate::row_context::RowContext;

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

    /// Seals a config for its row, with the primary key: [`OrganizationKeys::seal`] without data keys.
    pub fn seal(
        &self,
        context: &RowContext,
        config: &PlainConfig,
        random: Random<'_>,
    ) -> Result<StoredConfig, SealError> {
        OrganizationKeys::new(self, &[]).seal(context, config, random)
    }

    /// Opens a config that needs no data key: [`OrganizationKeys::open`] without data keys.
    pub fn open(
        &self,
        context: &RowContext,
        config: &StoredConfig,
    ) -> Result<PlainConfig, OpenError> {
        OrganizationKeys::new(self, &[]).open(context, config)
    }

    /// Rewraps a config with the primary key: [`OrganizationKeys::reseal`] without data keys.
    pub fn reseal(
        &self,
        context: &RowContext,
        config: &StoredConfig,
        random: Random<'_>,
    ) -> Result<Option<StoredConfig>, ResealError> {
        OrganizationKeys::new(self, &[]).reseal(context, config, random)
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
