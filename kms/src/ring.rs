use sealed::{DataKey, KeyRing, Kid, WrappedKey};
use uuid::Uuid;

use crate::error::{UnwrapError, WrapError};
use crate::host::Host;
use crate::wrapping_key::WrappingKey;

/// The deployment's key ring: the primary key wraps, and every key unwraps.
pub struct Ring<'a, H> {
    /// The keys.
    pub ring: &'a KeyRing,
    /// Gives the nonces.
    pub host: &'a H,
}

impl<H: Host> WrappingKey for Ring<'_, H> {
    fn kid(&self) -> Kid {
        self.ring.primary_kid()
    }

    async fn wrap(
        &self,
        organization_id: Uuid,
        data_key: &DataKey,
    ) -> Result<WrappedKey, WrapError> {
        let random = &mut |bytes: &mut [u8]| self.host.random(bytes);
        let wrapped = self.ring.wrap(organization_id, data_key, random);
        wrapped.map_err(WrapError::Random)
    }

    async fn unwrap(
        &self,
        organization_id: Uuid,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, UnwrapError> {
        let data_key = self.ring.unwrap(organization_id, wrapped);
        data_key.map_err(|error| UnwrapError::Fault(error.class()))
    }
}
