use sealed::{DataKey, KeyRing, Kid, WrappedKey};
use uuid::Uuid;

use crate::aws::{AwsKms, Calling};
use crate::error::{UnwrapError, WrapError};
use crate::host::Host;
use crate::ring::Ring;
use crate::wrapping_key::WrappingKey;

/// The keys of a deployment that wrap data keys. Without a key management service the ring wraps; with one it only unwraps.
#[derive(Debug)]
pub struct WrappingKeys {
    /// `ENCRYPTION_KEY` and `FALLBACK_ENCRYPTION_KEYS`.
    pub ring: KeyRing,
    /// `WRAPPING_KEY`.
    pub kms: Option<AwsKms>,
    /// `FALLBACK_WRAPPING_KEY`, which only unwraps.
    pub fallback: Option<AwsKms>,
}

impl WrappingKeys {
    /// The id of the key that wraps.
    pub fn primary_kid(&self) -> Kid {
        self.kms
            .as_ref()
            .map_or(self.ring.primary_kid(), |kms| kms.arn.kid())
    }

    /// The ids of all keys that unwrap, first the one that wraps.
    pub fn kids(&self) -> impl ExactSizeIterator<Item = Kid> {
        let [kms, fallback] =
            [&self.kms, &self.fallback].map(|kms| kms.as_ref().map(|kms| kms.arn.kid()));
        let kids: Vec<Kid> = kms
            .into_iter()
            .chain(self.ring.kids())
            .chain(fallback)
            .collect();
        kids.into_iter()
    }

    /// Wraps an organization's data key with the key that wraps.
    ///
    /// # Errors
    ///
    /// As [`WrappingKey::wrap`].
    pub async fn wrap(
        &self,
        host: &impl Host,
        organization_id: Uuid,
        data_key: &DataKey,
    ) -> Result<WrappedKey, WrapError> {
        match &self.kms {
            Some(kms) => Calling { kms, host }.wrap(organization_id, data_key).await,
            None => self.ring(host).wrap(organization_id, data_key).await,
        }
    }

    /// Unwraps an organization's data key with the key that has wrapped it.
    ///
    /// # Errors
    ///
    /// As [`WrappingKey::unwrap`].
    pub async fn unwrap(
        &self,
        host: &impl Host,
        organization_id: Uuid,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, UnwrapError> {
        let mut services = self.kms.iter().chain(&self.fallback);
        match services.find(|kms| kms.arn.kid() == wrapped.wrapping_kid) {
            Some(kms) => Calling { kms, host }.unwrap(organization_id, wrapped).await,
            None => self.ring(host).unwrap(organization_id, wrapped).await,
        }
    }

    fn ring<'a, H: Host>(&'a self, host: &'a H) -> Ring<'a, H> {
        Ring {
            ring: &self.ring,
            host,
        }
    }
}

/// Those of a deployment without a key management service.
impl From<KeyRing> for WrappingKeys {
    fn from(ring: KeyRing) -> Self {
        Self {
            ring,
            kms: None,
            fallback: None,
        }
    }
}
