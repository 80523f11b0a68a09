//! A sealed value: its parts when it is read, and the text `iv.tag.ciphertext` when it is written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::cipher::{StoredNonce, Tag};
use crate::config::MAX_VALUE;
use crate::encoding::Encoding;
use crate::error::Fault;
use crate::random::Nonce;

/// A sealed value that was read, but not opened.
pub(crate) struct SealedValue<'a> {
    pub nonce: StoredNonce,
    pub tag: Tag,
    pub ciphertext: &'a str,
    pub encoding: Encoding,
}

impl SealedValue<'_> {
    /// Decodes the ciphertext into the buffer.
    pub fn decode(&self, buffer: &mut Scratch) -> Result<(), Fault> {
        // Hex needs two characters per byte. A longer text is not decoded.
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

/// Splits a text into exactly three parts.
pub(crate) fn parts(text: &str) -> Option<[&str; 3]> {
    let (first, rest) = text.split_once('.')?;
    let (second, third) = rest.split_once('.')?;
    (!third.contains('.')).then_some([first, second, third])
}

pub(crate) fn write(nonce: &Nonce, tag: &Tag, ciphertext: &[u8]) -> String {
    let mut text = String::with_capacity(16 + 1 + 24 + 1 + ciphertext.len().div_ceil(3) * 4);
    STANDARD.encode_string(nonce, &mut text);
    text.push('.');
    STANDARD.encode_string(tag, &mut text);
    text.push('.');
    STANDARD.encode_string(ciphertext, &mut text);
    text
}

/// The buffer in which values are opened, one after the other. It is zeroized on drop.
#[derive(Default)]
pub(crate) struct Scratch(Zeroizing<Vec<u8>>);

impl Scratch {
    /// Empties the buffer and makes room for this many bytes.
    pub fn empty(&mut self, capacity: usize) -> &mut Vec<u8> {
        if self.0.capacity() < capacity {
            // A new buffer: growing the old one would leave its bytes in memory.
            self.0 = Zeroizing::new(Vec::with_capacity(capacity));
        }
        self.0.clear();
        &mut self.0
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
