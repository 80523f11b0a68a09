//! The current form: each part in standard base64 with padding, and a nonce of 12 bytes.

use crate::cipher::StoredNonce;
use crate::encoding::Encoding;
use crate::error::Fault;
use crate::legacy;
use crate::value::{SealedValue, parts};

pub(crate) fn read(text: &str) -> Result<SealedValue<'_>, Fault> {
    read_parts(text).ok_or_else(|| match legacy::read(text) {
        // It has the three parts, but not in the current form.
        Ok(_) => Fault::Malformed,
        Err(fault) => fault,
    })
}

fn read_parts(text: &str) -> Option<SealedValue<'_>> {
    let [iv, tag, ciphertext] = parts(text)?;
    Some(SealedValue {
        nonce: StoredNonce::Twelve(Encoding::Standard.decode_array(iv)?),
        tag: Encoding::Standard.decode_array(tag)?,
        ciphertext,
        encoding: Encoding::Standard,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MAX_VALUE;
    use crate::value::{Scratch, write};

    fn fault(text: &str) -> Fault {
        match read(text).and_then(|value| value.decode(&mut Scratch::default())) {
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
            let value = read(&text).unwrap();
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
}
