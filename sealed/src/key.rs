use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::cipher::Cipher;
use crate::encoding::Encoding;
use crate::error::KeyError;
use crate::kid::Kid;
use crate::secret::Secret;

/// A 256-bit key. It is zeroized on drop, and its `Debug` shows only the [`Kid`].
pub struct Key {
    bytes: Box<Zeroizing<[u8; 32]>>,
    kid: Kid,
    cipher: Cipher,
}

impl Key {
    /// Parses a key from a setting: base64 of 32 bytes, as `openssl rand -base64 32` prints it. Surrounding white space, missing padding and the
    /// URL-safe alphabet are accepted, because the legacy form's writers accepted them.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        // Far longer than a key. It is rejected without decoding.
        if text.len() > 256 {
            return Err(KeyError::NotBase64);
        }
        let mut decoded = Zeroizing::new(Vec::with_capacity(256));
        let encoding = Encoding::loose_base64(text);
        encoding
            .decode(text, &mut decoded)
            .ok_or(KeyError::NotBase64)?;
        let mut bytes = Zeroizing::new([0; 32]);
        if decoded.len() != bytes.len() {
            return Err(KeyError::WrongLength {
                bytes: decoded.len(),
            });
        }
        bytes.copy_from_slice(&decoded);
        Ok(Self::from_zeroizing(bytes))
    }

    /// Parses several keys, separated by commas, as in `FALLBACK_ENCRYPTION_KEYS`. An empty text means no key; an empty entry between commas
    /// is an error.
    pub fn list_from_base64(text: &str) -> Result<Vec<Self>, KeyError> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        text.split(',').map(Self::from_base64).collect()
    }

    /// Makes a key of bytes. They must come from a cryptographic random source.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self::from_zeroizing(Zeroizing::new(bytes))
    }

    pub(crate) fn from_zeroizing(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self {
            kid: Kid::of(&bytes),
            cipher: Cipher::new(&bytes),
            bytes: Box::new(bytes),
        }
    }

    /// The key's id. It is public: every config that is sealed with the key contains it.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// The key in the form of a setting: standard base64 with padding.
    pub fn to_base64(&self) -> Secret {
        STANDARD.encode(**self.bytes).into()
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub(crate) fn cipher(&self) -> &Cipher {
        &self.cipher
    }

    pub(crate) fn is(&self, other: &Key) -> bool {
        self.bytes.ct_eq(&**other.bytes).into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.kid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const URL_SAFE: &str = "____________________________________________";

    #[test]
    fn reads_what_openssl_prints() {
        let key = Key::from_base64(&format!("{TEXT}\n")).unwrap();
        assert_eq!(key.to_base64().expose(), TEXT);
        assert!(key.is(&Key::from_bytes(std::array::from_fn(|i| i as u8))));
        assert!(key.is(&Key::from_base64(TEXT.trim_end_matches('=')).unwrap()));
        let url_safe = format!("{}8=", &URL_SAFE[..42]);
        assert!(
            Key::from_base64(&url_safe)
                .unwrap()
                .is(&Key::from_bytes([255; 32]))
        );
    }

    #[test]
    fn refuses_what_is_no_key() {
        for (text, error) in [
            ("", KeyError::WrongLength { bytes: 0 }),
            ("AAEC", KeyError::WrongLength { bytes: 3 }),
            (&"A".repeat(44), KeyError::WrongLength { bytes: 33 }),
            ("not a key", KeyError::NotBase64),
            (&TEXT.replace("8=", "9="), KeyError::NotBase64),
            (&format!("{TEXT}="), KeyError::NotBase64),
            (&"A".repeat(1 << 20), KeyError::NotBase64),
        ] {
            assert_eq!(Key::from_base64(text).unwrap_err(), error);
        }
    }

    #[test]
    fn reads_lists() {
        assert!(Key::list_from_base64("").unwrap().is_empty());
        assert!(Key::list_from_base64(" \n").unwrap().is_empty());
        assert_eq!(Key::list_from_base64(TEXT).unwrap().len(), 1);
        assert_eq!(
            Key::list_from_base64(&format!("{TEXT}, {TEXT}\n"))
                .unwrap()
                .len(),
            2
        );
        assert_eq!(
            Key::list_from_base64(&format!("{TEXT},")).unwrap_err(),
            KeyError::WrongLength { bytes: 0 }
        );
    }

    #[test]
    fn debug_shows_the_kid_only() {
        let key = Key::from_base64(TEXT).unwrap();
        assert_eq!(format!("{key:?}"), format!("Key({})", key.kid()));
    }
}
