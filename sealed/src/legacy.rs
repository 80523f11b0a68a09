//! The legacy form: values that the source document's TypeScript may have written. They are read, never written.

use crate::cipher::StoredNonce;
use crate::encoding::Encoding;
use crate::error::Fault;
use crate::value::{SealedValue, parts};

/// Reads `iv.tag.ciphertext` in every encoding that Node's `Buffer` writes: base64 or base64url, padded or not, or hex. iv and tag have
/// known lengths, which show their encoding. A ciphertext can be valid hex and base64 at once, so there may be two readings: first the tag's
/// encoding, then the other. The authentication tag decides.
pub(crate) fn read(text: &str) -> Result<[SealedValue<'_>; 2], Fault> {
    read_parts(text).ok_or(Fault::NotSealed)
}

fn read_parts(text: &str) -> Option<[SealedValue<'_>; 2]> {
    let [iv, tag, ciphertext] = parts(text)?;
    let nonce = match array(iv) {
        Some((iv, _)) => StoredNonce::Twelve(iv),
        None => StoredNonce::Sixteen(array(iv)?.0),
    };
    let (tag, tag_encoding) = array(tag)?;
    let readings = match tag_encoding {
        Encoding::Hex => [Encoding::Hex, Encoding::loose_base64(ciphertext)],
        _ => [Encoding::loose_base64(ciphertext), Encoding::Hex],
    };
    Some(readings.map(|encoding| SealedValue {
        nonce,
        tag,
        ciphertext,
        encoding,
    }))
}

fn array<const N: usize>(text: &str) -> Option<([u8; N], Encoding)> {
    // Only hex is this long: base64 of N bytes takes at most 4 * (N + 2) / 3 characters.
    let encoding = if text.len() == 2 * N {
        Encoding::Hex
    } else {
        Encoding::loose_base64(text)
    };
    encoding.decode_array(text).map(|bytes| (bytes, encoding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Scratch;

    const IV12: [u8; 12] = [0xfb, 0xff, 0xbf, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    const IV16: [u8; 16] = [
        0xfb, 0xff, 0xbf, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    ];
    const TAG: [u8; 16] = [0xef; 16];

    #[test]
    fn reads_every_way_of_writing() {
        for (iv, tag, ciphertext, encoding) in [
            (
                "+/+/AwQFBgcICQoL",
                "7+/v7+/v7+/v7+/v7+/v7w==",
                "//8=",
                Encoding::StandardLoose,
            ),
            (
                "+/+/AwQFBgcICQoL",
                "7+/v7+/v7+/v7+/v7+/v7w",
                "//8",
                Encoding::StandardLoose,
            ),
            (
                "-_-_AwQFBgcICQoL",
                "7-_v7-_v7-_v7-_v7-_v7w==",
                "__8=",
                Encoding::UrlSafeLoose,
            ),
            (
                "-_-_AwQFBgcICQoL",
                "7-_v7-_v7-_v7-_v7-_v7w",
                "__8",
                Encoding::UrlSafeLoose,
            ),
            (
                "fbffbf030405060708090a0b",
                "efefefefefefefefefefefefefefefef",
                "ffff",
                Encoding::Hex,
            ),
            (
                "FBFFBF030405060708090A0B",
                "EFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEF",
                "FFFF",
                Encoding::Hex,
            ),
            (
                "+/+/AwQFBgcICQoLDA0ODw==",
                "7+/v7+/v7+/v7+/v7+/v7w==",
                "//8=",
                Encoding::StandardLoose,
            ),
            (
                "-_-_AwQFBgcICQoLDA0ODw",
                "7-_v7-_v7-_v7-_v7-_v7w",
                "__8",
                Encoding::UrlSafeLoose,
            ),
            (
                "fbffbf030405060708090a0b0c0d0e0f",
                "efefefefefefefefefefefefefefefef",
                "ffff",
                Encoding::Hex,
            ),
        ] {
            let text = format!("{iv}.{tag}.{ciphertext}");
            let [first, _] = read(&text).unwrap();
            match first.nonce {
                StoredNonce::Twelve(iv) => assert_eq!(iv, IV12, "{text}"),
                StoredNonce::Sixteen(iv) => assert_eq!(iv, IV16, "{text}"),
            }
            assert_eq!((first.tag, first.encoding), (TAG, encoding), "{text}");
            let mut buffer = Scratch::default();
            first.decode(&mut buffer).unwrap();
            assert_eq!(buffer.bytes(), [0xff, 0xff], "{text}");
        }
    }

    #[test]
    fn a_ciphertext_may_be_written_otherwise_than_its_tag() {
        let [first, second] =
            read("fbffbf030405060708090a0b.efefefefefefefefefefefefefefefef.abcd").unwrap();
        assert_eq!(
            (first.encoding, second.encoding),
            (Encoding::Hex, Encoding::StandardLoose)
        );
        let [first, second] = read("+/+/AwQFBgcICQoL.7+/v7+/v7+/v7+/v7+/v7w==.ab-_").unwrap();
        assert_eq!(
            (first.encoding, second.encoding),
            (Encoding::UrlSafeLoose, Encoding::Hex)
        );
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "sbp_0123456789abcdef",
            "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl",
            "fbffbf030405060708090a0b.efef.ffff",
            "+/-_AwQFBgcICQoL.7+/v7+/v7+/v7+/v7+/v7w==.",
            "+/+/AwQFBgcICQoL.7+/v7+/v7+/v7+/v7+/v7x==.",
            "+/+/AwQFBgcICQoL.7+/v7+/v7+/v7+/v7+/v7w=.",
        ] {
            assert_eq!(read(text).err(), Some(Fault::NotSealed), "{text}");
        }
    }
}
