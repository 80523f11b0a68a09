//! One sealed value as text: `iv.tag.ciphertext`, each part standard base64 with padding.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::cipher::{StoredNonce, Tag};
use crate::config::MAX_VALUE;
use crate::error::Fault;
use crate::old;
use crate::random::Nonce;

/// How the bytes of a part are written. Whatever it is, one text is right for some bytes and every other is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Encoding {
    /// Standard base64 with padding: the one that is written.
    Standard,
    /// Old form: the standard alphabet, padded or not.
    StandardLoose,
    /// Old form: the URL-safe alphabet, padded or not.
    UrlSafeLoose,
    /// Old form: hex digits of either case.
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

/// A sealed value, read but not opened.
pub(crate) struct SealedValue<'a> {
    pub nonce: StoredNonce,
    pub tag: Tag,
    pub ciphertext: &'a str,
    pub encoding: Encoding,
}

impl<'a> SealedValue<'a> {
    /// Reads the current form, and only it.
    pub fn read(text: &'a str) -> Result<Self, Fault> {
        Self::read_parts(text).ok_or_else(|| match old::read(text) {
            // It has the parts, but they are not written as they should be.
            Ok(_) => Fault::Malformed,
            Err(fault) => fault,
        })
    }

    fn read_parts(text: &'a str) -> Option<Self> {
        let [iv, tag, ciphertext] = parts(text)?;
        Some(Self {
            nonce: StoredNonce::Twelve(Encoding::Standard.decode_array(iv)?),
            tag: Encoding::Standard.decode_array(tag)?,
            ciphertext,
            encoding: Encoding::Standard,
        })
    }

    /// Puts the ciphertext's bytes into the buffer.
    pub fn decode(&self, buffer: &mut Scratch) -> Result<(), Fault> {
        // Hex needs two characters a byte. What is longer is not even looked at.
        if self.ciphertext.len() > 2 * MAX_VALUE {
            return Err(Fault::TooLarge);
        }
        let bytes = buffer.empty(self.ciphertext.len());
        self.encoding
            .decode(self.ciphertext, bytes)
            .ok_or(Fault::Malformed)?;
        if bytes.len() > MAX_VALUE {
            Err(Fault::TooLarge)
        } else {
            Ok(())
        }
    }
}

/// Exactly three parts, or nothing.
pub(crate) fn parts(text: &str) -> Option<[&str; 3]> {
    let (first, rest) = text.split_once('.')?;
    let (second, third) = rest.split_once('.')?;
    (!third.contains('.')).then_some([first, second, third])
}

/// Writes a sealed value.
pub(crate) fn write(nonce: &Nonce, tag: &Tag, ciphertext: &[u8]) -> String {
    let mut text = String::with_capacity(16 + 1 + 24 + 1 + ciphertext.len().div_ceil(3) * 4);
    STANDARD.encode_string(nonce, &mut text);
    text.push('.');
    STANDARD.encode_string(tag, &mut text);
    text.push('.');
    STANDARD.encode_string(ciphertext, &mut text);
    text
}

/// The buffer that values are opened in, one after the other; zeroized when dropped.
#[derive(Default)]
pub(crate) struct Scratch(Zeroizing<Vec<u8>>);

impl Scratch {
    /// The buffer, empty, with room for this many bytes.
    pub fn empty(&mut self, capacity: usize) -> &mut Vec<u8> {
        if self.0.capacity() < capacity {
            // A new one, not a grown one: growing would leave the old bytes where they were.
            self.0 = Zeroizing::new(Vec::with_capacity(capacity));
        }
        self.0.clear();
        &mut self.0
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        match SealedValue::read(text).and_then(|value| value.decode(&mut Scratch::default())) {
            Ok(()) => panic!("{text} was read"),
            Err(fault) => fault,
        }
    }

    const IV: &str = "AQIDBAUGBwgJCgsM";
    const TAG: &str = "AQIDBAUGBwgJCgsMDQ4PEA==";

    #[test]
    fn reads_what_it_writes() {
        let nonce = std::array::from_fn(|i| i as u8 + 1);
        let tag = std::array::from_fn(|i| i as u8 + 1);
        for (ciphertext, end) in [
            (&b""[..], ""),
            (b"\0", "AA=="),
            (b"\0\0", "AAA="),
            (b"\xff\xfb\xff", "//v/"),
        ] {
            let text = write(&nonce, &tag, ciphertext);
            assert_eq!(text, format!("{IV}.{TAG}.{end}"));
            assert_eq!(text.capacity(), text.len());
            let value = SealedValue::read(&text).unwrap();
            assert!(matches!(value.nonce, StoredNonce::Twelve(iv) if iv == nonce));
            assert_eq!(value.tag, tag);
            let mut buffer = Scratch::default();
            value.decode(&mut buffer).unwrap();
            assert_eq!(buffer.bytes(), ciphertext);
        }
    }

    #[test]
    fn takes_one_way_of_writing_only() {
        for (text, expected) in [
            (String::new(), Fault::NotSealed),
            ("..".into(), Fault::NotSealed),
            (format!("{IV}.{TAG}"), Fault::NotSealed),
            (format!("{IV}.{TAG}.AA==."), Fault::NotSealed),
            (format!("{IV}.{TAG}.AA==.AA=="), Fault::NotSealed),
            (format!("{TAG}.{TAG}.AA=="), Fault::Malformed),
            (format!("{IV}.{IV}.AA=="), Fault::NotSealed),
            (format!("{IV}.{}.AA==", &TAG[..22]), Fault::Malformed),
            (
                format!("{IV}.{}.AA==", TAG.replace("EA==", "EB==")),
                Fault::NotSealed,
            ),
            (format!(" {IV}.{TAG}.AA=="), Fault::NotSealed),
            (format!("{IV}.{TAG}.AA"), Fault::Malformed),
            (format!("{IV}.{TAG}.AB=="), Fault::Malformed),
            (format!("{IV}.{TAG}.A==="), Fault::Malformed),
            (format!("{IV}.{TAG}.AA==\n"), Fault::Malformed),
            (format!("{IV}.{TAG}.__v_"), Fault::Malformed),
            (
                format!("{IV}.{TAG}.{}", "A".repeat(4 * MAX_VALUE)),
                Fault::TooLarge,
            ),
            (
                format!("{IV}.{TAG}.{}", "A".repeat((MAX_VALUE + 2).div_ceil(3) * 4)),
                Fault::TooLarge,
            ),
        ] {
            assert_eq!(fault(&text), expected, "{text:.80}");
        }
    }

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
