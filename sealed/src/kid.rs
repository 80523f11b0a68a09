use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A key's id: the first 8 bytes of HMAC-SHA-256(key, `integrations key id v1`), as 16 lower-case hex digits.
///
/// It is derived from the key, so nobody has to name keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kid([u8; 8]);

impl Kid {
    pub(crate) fn of(key: &[u8; 32]) -> Self {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(b"integrations key id v1");
        let mac = mac.finalize().into_bytes();
        let mut kid = [0; 8];
        kid.copy_from_slice(&mac[..8]);
        Self(kid)
    }

    /// The 16 hex digits, without an allocation.
    pub(crate) fn encode(self, buffer: &mut [u8; 16]) -> &str {
        for (pair, byte) in buffer.as_chunks_mut().0.iter_mut().zip(self.0) {
            *pair = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
        }
        // Hex digits are ASCII.
        str::from_utf8(buffer).unwrap_or_default()
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.encode(&mut [0; 16]))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kid({self})")
    }
}

impl FromStr for Kid {
    type Err = ParseKidError;

    fn from_str(text: &str) -> Result<Self, ParseKidError> {
        let text = text.as_bytes();
        // from_str_radix would also accept upper case and a sign.
        if text.len() != 16 || !text.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ParseKidError);
        }
        let text = str::from_utf8(text).map_err(|_| ParseKidError)?;
        u64::from_str_radix(text, 16)
            .map(|n| Self(n.to_be_bytes()))
            .map_err(|_| ParseKidError)
    }
}

/// The text is not a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseKidError;

impl fmt::Display for ParseKidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key id is 16 lower-case hex digits")
    }
}

impl std::error::Error for ParseKidError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kids_are_text_and_back() {
        let kid: Kid = "00ff456789abcdef".parse().unwrap();
        assert_eq!(kid.to_string(), "00ff456789abcdef");
        assert_eq!(format!("{kid:?}"), "Kid(00ff456789abcdef)");
        for text in [
            "",
            "0123456789ABCDEF",
            "0123456789abcde",
            "0123456789abcdef0",
            "+123456789abcdef",
            "ééééññññ",
        ] {
            assert_eq!(text.parse::<Kid>(), Err(ParseKidError), "{text}");
        }
    }
}
