//! The encodings of a sealed value's parts.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// How bytes are written as text. Each encoding has exactly one text for any bytes and rejects every other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Encoding {
    /// Standard base64 with padding: the current form.
    Standard,
    /// Legacy form: the standard alphabet, padded or not.
    StandardLoose,
    /// Legacy form: the URL-safe alphabet, padded or not.
    UrlSafeLoose,
    /// Legacy form: hex digits of either case.
    Hex,
}

impl Encoding {
    /// Appends the decoded bytes, or returns `None` and leaves nothing useful in `bytes`.
    pub fn decode(self, text: &str, bytes: &mut Vec<u8>) -> Option<()> {
        // Padding is complete or absent.
        let padded = text.ends_with('=');
        let engine = match self {
            Self::Standard => &STANDARD,
            Self::StandardLoose if padded => &STANDARD,
            Self::StandardLoose => &STANDARD_NO_PAD,
            Self::UrlSafeLoose if padded => &URL_SAFE,
            Self::UrlSafeLoose => &URL_SAFE_NO_PAD,
            Self::Hex => return decode_hex(text, bytes),
        };
        engine.decode_vec(text, bytes).ok()
    }

    /// The base64 alphabet of a text: the URL-safe one if it contains one of its characters.
    pub fn loose_base64(text: &str) -> Self {
        if text.contains(['-', '_']) {
            Self::UrlSafeLoose
        } else {
            Self::StandardLoose
        }
    }

    /// Decodes a known number of bytes.
    pub fn decode_array<const N: usize>(self, text: &str) -> Option<[u8; N]> {
        // Hex is the longest encoding.
        if text.len() > 2 * N {
            return None;
        }
        let mut bytes = Vec::with_capacity(2 * N);
        self.decode(text, &mut bytes)?;
        bytes.try_into().ok()
    }
}

fn decode_hex(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let (pairs, []) = text.as_bytes().as_chunks() else {
        return None;
    };
    for [high, low] in pairs {
        let digit = |c: &u8| char::from(*c).to_digit(16).map(|digit| digit as u8);
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_hex() {
        let mut bytes = Vec::new();
        assert_eq!(decode_hex("00fFa9", &mut bytes), Some(()));
        assert_eq!(bytes, [0, 255, 0xa9]);
        for text in ["0", "0g", "+1", "é"] {
            assert_eq!(decode_hex(text, &mut Vec::new()), None, "{text}");
        }
    }
}
