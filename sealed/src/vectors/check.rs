//! What the checks of all vectors need.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::data_key::DataKey;
use crate::error::RandomError;
use crate::key::Key;
use crate::keyring::KeyRing;
use crate::row_context::RowContext;

pub(super) type Object = Map<String, Value>;
pub(super) type Check<T = ()> = Result<T, String>;

pub(super) fn demand(holds: bool, otherwise: &str) -> Check {
    holds.then_some(()).ok_or_else(|| otherwise.to_owned())
}

pub(super) fn message(error: impl ToString) -> String {
    error.to_string()
}

pub(super) fn ring<'a>(keys: impl IntoIterator<Item = &'a String>) -> Check<KeyRing> {
    let mut keys = keys
        .into_iter()
        .map(|text| Key::from_base64(text).map_err(message));
    let primary = keys.next().ok_or("has no key")??;
    KeyRing::new(primary, keys.collect::<Check<_>>()?).map_err(message)
}

pub(super) fn data_keys<'a>(keys: impl IntoIterator<Item = &'a String>) -> Check<Vec<DataKey>> {
    keys.into_iter().map(|text| data_key(text)).collect()
}

pub(super) fn data_key(text: &str) -> Check<DataKey> {
    let bytes = STANDARD.decode(text).map_err(message)?;
    let bytes = bytes.try_into().map_err(|_| "a data key has 32 bytes")?;
    Ok(DataKey::from_bytes(bytes))
}

pub(super) fn context(organization_id: &str, integration_id: &str) -> Check<RowContext> {
    Ok(RowContext {
        organization_id: organization_id.parse().map_err(message)?,
        integration_id: integration_id.parse().map_err(message)?,
    })
}

/// The random bytes that a vector contains, so that the result is known byte for byte.
pub(super) fn replay(nonces: &[u8]) -> impl FnMut(&mut [u8]) -> Result<(), RandomError> + '_ {
    |bytes| {
        (bytes.len() == nonces.len())
            .then(|| bytes.copy_from_slice(nonces))
            .ok_or(RandomError)
    }
}

/// Different for each field, and never a value of a vector.
pub(super) fn unrelated() -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
    let mut next = 0_u64;
    move |bytes| {
        for nonce in bytes.chunks_mut(12) {
            next += 1;
            nonce[..4].fill(0xAA);
            nonce[4..].copy_from_slice(&next.to_be_bytes());
        }
        Ok(())
    }
}
