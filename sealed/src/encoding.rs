//! How the bytes of a sealed value's parts are written as text.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// How the bytes of a part are written. Whatever it is, one text is right for some bytes and every other is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Encoding {
    /// Standard base64 with padding: the one that is written.
    Standard,
    /// Legacy form: the standard alphabet, padded or not.
    StandardLoose,
    /// Legacy form: the URL-safe alphabet, padded or not.
    UrlSafeLoose,
    /// Legacy form: hex digits of either case.
    Hex,
}

impl Encoding {
    /// Appends the bytes that `text` stands for, or gives `None` and leaves nothing of use in `bytes`.
    pub fn decode(self, text: &str, bytes: &mut Vec<u8>) -> Option<()> {
        // All or nothing: half of the padding is neither way of writing.
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

    /// Which base64 a text is, if it is any: one alphabet or the other, not both.
    pub fn loose_base64(text: &str) -> Self {
        if text.contains(['-', '_']) {
            Self::UrlSafeLoose
        } else {
            Self::StandardLoose
        }
    }

    /// Bytes of a known number.
    pub fn decode_array<const N: usize>(self, text: &str) -> Option<[u8; N]> {
        // No encoding of N bytes is longer than hex.
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
