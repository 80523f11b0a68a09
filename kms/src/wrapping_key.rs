use sealed::{DataKey, Kid, WrappedKey};
use uuid::Uuid;

use crate::error::{UnwrapError, WrapError};

/// A key that wraps data keys.
#[allow(
    async_fn_in_trait,
    reason = "nobody needs it to be Send: both hosts have one thread"
)]
pub trait WrappingKey {
    /// Its id, which a wrapped key names.
    fn kid(&self) -> Kid;

    /// Wraps an organization's data key.
    ///
    /// # Errors
    ///
    /// The random source or the service failed.
    async fn wrap(
        &self,
        organization_id: Uuid,
        data_key: &DataKey,
    ) -> Result<WrappedKey, WrapError>;

    /// Unwraps what it has wrapped for this organization.
    ///
    /// # Errors
    ///
    /// It was not wrapped so, or the service failed.
    async fn unwrap(
        &self,
        organization_id: Uuid,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, UnwrapError>;
}
