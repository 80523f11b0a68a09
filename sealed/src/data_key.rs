use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::RandomError;
use crate::key::Key;
use crate::kid::Kid;
use crate::random::Random;

/// The 256-bit key that seals the configs of one organization. It is stored [wrapped](crate::WrappedKey) only.
/// A clone shares the key.
#[derive(Clone)]
pub struct DataKey(Arc<Key>);

impl DataKey {
    /// Draws a new key.
    ///
    /// # Errors
    ///
    /// The random source failed.
    pub fn generate(random: Random<'_>) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; 32]);
        random(&mut *bytes)?;
        // Nothing was filled in.
        if *bytes == [0; 32] {
            return Err(RandomError);
        }
        Ok(Self(Arc::new(Key::from_zeroizing(bytes))))
    }

    /// Makes a data key of its 32 bytes, as a key management service unwraps them. The caller compares [`kid`](Self::kid) with that of the
    /// [`WrappedKey`](crate::WrappedKey).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Arc::new(Key::from_bytes(bytes)))
    }

    /// The 32 bytes, for a key management service that wraps them.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The key's id, which `_enc` of version 3 names.
    pub fn kid(&self) -> Kid {
        self.0.kid()
    }

    pub(crate) fn from_zeroizing(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(Arc::new(Key::from_zeroizing(bytes)))
    }

    pub(crate) fn key(&self) -> &Key {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.kid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_gives_nothing_makes_no_key() {
        assert!(DataKey::generate(&mut |_| Ok(())).is_err());
        assert!(DataKey::generate(&mut |_| Err(RandomError)).is_err());
    }

    #[test]
    fn debug_shows_the_kid_only() {
        let data_key = DataKey::from_bytes([1; 32]);
        assert_eq!(
            format!("{data_key:?}"),
            format!("DataKey({})", data_key.kid())
        );
    }
}
