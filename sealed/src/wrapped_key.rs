use uuid::Uuid;
use zeroize::Zeroizing;

use crate::cipher::NotAuthentic;
use crate::current;
use crate::data_key::DataKey;
use crate::envelope::Version;
use crate::error::{Fault, OpenError, RandomError, ResealError};
use crate::keyring::KeyRing;
use crate::kid::Kid;
use crate::random::{Random, nonces};
use crate::row_context::push;
use crate::value::{self, Scratch};

/// A data key, encrypted with a wrapping key, as the database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The id of the data key.
    pub kid: Kid,
    /// The id of the key that wraps it.
    pub wrapping_kid: Kid,
    /// Wrapped by a [`KeyRing`]: AES-256-GCM, as `iv.tag.ciphertext`, like a sealed value. A key management service has its own form.
    pub wrapped: String,
}

impl KeyRing {
    /// Wraps an organization's data key with the primary key.
    ///
    /// # Errors
    ///
    /// The random source failed.
    pub fn wrap(
        &self,
        organization_id: Uuid,
        data_key: &DataKey,
        random: Random<'_>,
    ) -> Result<WrappedKey, RandomError> {
        let nonce = nonces(1, random)?[0];
        let wrapping = self.primary();
        let kid = data_key.kid();
        let mut scratch = Scratch::default();
        scratch.empty(32).extend_from_slice(data_key.expose());
        let aad = aad(organization_id, kid, wrapping.kid());
        let tag = wrapping.cipher().seal(&nonce, &aad, scratch.bytes());
        Ok(WrappedKey {
            kid,
            wrapping_kid: wrapping.kid(),
            wrapped: value::write(&nonce, &tag, scratch.bytes()),
        })
    }

    /// Opens a wrapped data key of this organization.
    ///
    /// # Errors
    ///
    /// [`Fault::UnknownKey`]: the wrapping key is not in the ring. [`Fault::NotAuthentic`]: wrapped for another organization or
    /// by another key, or changed. [`Fault::Malformed`] and [`Fault::NotSealed`]: not in the form that this crate writes. The pointer is
    /// empty.
    pub fn unwrap(
        &self,
        organization_id: Uuid,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, OpenError> {
        self.unwrapped(organization_id, wrapped)
            .map_err(|fault| OpenError::new(fault, ""))
    }

    /// Wraps a data key with the primary key that another key of the ring wraps. `None`: the primary key wraps it already.
    ///
    /// # Errors
    ///
    /// As [`unwrap`](Self::unwrap), and if the random source fails.
    pub fn rewrap(
        &self,
        organization_id: Uuid,
        wrapped: &WrappedKey,
        random: Random<'_>,
    ) -> Result<Option<WrappedKey>, ResealError> {
        if wrapped.wrapping_kid == self.primary_kid() {
            return Ok(None);
        }
        let data_key = self.unwrap(organization_id, wrapped)?;
        Ok(Some(self.wrap(organization_id, &data_key, random)?))
    }

    fn unwrapped(&self, organization_id: Uuid, wrapped: &WrappedKey) -> Result<DataKey, Fault> {
        let WrappedKey {
            kid, wrapping_kid, ..
        } = *wrapped;
        let wrapping = self.keys().iter().find(|key| key.kid() == wrapping_kid);
        let wrapping = wrapping.ok_or(Fault::UnknownKey)?;
        let value = current::read(&wrapped.wrapped)?;
        let mut scratch = Scratch::default();
        value.decode(&mut scratch)?;
        let aad = aad(organization_id, kid, wrapping_kid);
        wrapping
            .cipher()
            .open(&value.nonce, &aad, scratch.bytes(), &value.tag)
            .map_err(|NotAuthentic| Fault::NotAuthentic)?;
        let mut bytes = Zeroizing::new([0; 32]);
        if scratch.bytes().len() != bytes.len() {
            return Err(Fault::Malformed);
        }
        bytes.copy_from_slice(scratch.bytes());
        let data_key = DataKey::from_zeroizing(bytes);
        // Its id is authenticated, so only a writer with the wrapping key can have named another.
        if data_key.kid() == kid {
            Ok(data_key)
        } else {
            Err(Fault::NotAuthentic)
        }
    }
}

/// What a wrapped data key is bound to. Written like the authenticated data of a config's fields; the second part tells them apart.
fn aad(organization_id: Uuid, kid: Kid, wrapping_kid: Kid) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    push(&mut bytes, Version::V3.label());
    push(&mut bytes, "data_keys");
    push(
        &mut bytes,
        organization_id
            .hyphenated()
            .encode_lower(&mut Uuid::encode_buffer()),
    );
    for kid in [kid, wrapping_kid] {
        push(&mut bytes, kid.encode(&mut [0; 16]));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    const ORGANIZATION: Uuid = Uuid::from_u128(1);

    fn ring(keys: &[u8]) -> KeyRing {
        let mut keys = keys.iter().map(|byte| Key::from_bytes([*byte; 32]));
        KeyRing::new(keys.next().unwrap(), keys.collect()).unwrap()
    }

    fn counting() -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
        let mut next = 0;
        move |bytes| {
            bytes.fill_with(|| {
                next += 1;
                next
            });
            Ok(())
        }
    }

    fn fault(ring: &KeyRing, organization_id: Uuid, wrapped: &WrappedKey) -> Fault {
        ring.unwrap(organization_id, wrapped).unwrap_err().class()
    }

    #[test]
    fn a_wrapped_key_opens_for_its_organization_only() {
        let data_key = DataKey::generate(&mut counting()).unwrap();
        let wrapped = ring(&[7])
            .wrap(ORGANIZATION, &data_key, &mut counting())
            .unwrap();
        let opened = ring(&[8, 7]).unwrap(ORGANIZATION, &wrapped).unwrap();
        assert_eq!(opened.expose(), data_key.expose());
        assert_eq!(
            fault(&ring(&[7]), Uuid::from_u128(2), &wrapped),
            Fault::NotAuthentic
        );
        assert_eq!(
            fault(&ring(&[8]), ORGANIZATION, &wrapped),
            Fault::UnknownKey
        );
    }

    #[test]
    fn a_changed_one_does_not_open() {
        let data_key = DataKey::from_bytes([1; 32]);
        let wrapped = ring(&[7])
            .wrap(ORGANIZATION, &data_key, &mut counting())
            .unwrap();
        let with = |change: &dyn Fn(&mut WrappedKey)| {
            let mut changed = wrapped.clone();
            change(&mut changed);
            fault(&ring(&[7, 8]), ORGANIZATION, &changed)
        };
        let other = ring(&[8]).primary_kid();
        assert_eq!(with(&|key| key.kid = other), Fault::NotAuthentic);
        assert_eq!(with(&|key| key.wrapping_kid = other), Fault::NotAuthentic);
        assert_eq!(with(&|key| key.wrapped.clear()), Fault::NotSealed);
        assert_eq!(with(&|key| key.wrapped.push('A')), Fault::Malformed);
        assert_eq!(
            with(&|key| key.wrapped.replace_range(..1, "_")),
            Fault::Malformed
        );
    }

    #[test]
    fn another_text_of_the_wrapping_key_is_no_data_key() {
        let data_key = DataKey::from_bytes([1; 32]);
        let ring = ring(&[7]);
        let kid = data_key.kid();
        for text in [&b"short"[..], &[2; 32]] {
            let mut text = text.to_vec();
            let aad = aad(ORGANIZATION, kid, ring.primary_kid());
            let tag = ring.primary().cipher().seal(&[3; 12], &aad, &mut text);
            let wrapped = WrappedKey {
                kid,
                wrapping_kid: ring.primary_kid(),
                wrapped: value::write(&[3; 12], &tag, &text),
            };
            assert!(matches!(
                fault(&ring, ORGANIZATION, &wrapped),
                Fault::Malformed | Fault::NotAuthentic
            ));
        }
    }

    #[test]
    fn a_rewrap_keeps_the_data_key() {
        let data_key = DataKey::from_bytes([1; 32]);
        let before = ring(&[7])
            .wrap(ORGANIZATION, &data_key, &mut counting())
            .unwrap();
        let both = ring(&[8, 7]);
        let after = both
            .rewrap(ORGANIZATION, &before, &mut counting())
            .unwrap()
            .unwrap();
        assert_eq!(
            (after.kid, after.wrapping_kid),
            (before.kid, both.primary_kid())
        );
        let opened = ring(&[8]).unwrap(ORGANIZATION, &after).unwrap();
        assert_eq!(opened.expose(), data_key.expose());
        assert_eq!(both.rewrap(ORGANIZATION, &after, &mut counting()), Ok(None));
    }
}
