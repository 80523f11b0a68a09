use std::io::{self, BufRead, Read};

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::outcome::Code;
use crate::error::{Error, ErrorKind, Result};
use crate::input::read_bounded;

/// The longest line, in bytes: a connection of Nango's repeats the provider's whole answer.
const MAX_LINE: usize = 256 * 1024;
/// The largest JSON array, which is read as a whole.
const MAX_ARRAY: usize = 64 * 1024 * 1024;

/// A line, or an entry of an array, by its number from 1.
pub struct Numbered {
    pub number: u64,
    pub text: Result<Zeroizing<Vec<u8>>, Code>,
}

/// Hands over each line. Empty lines are passed over, and one that is too long is skipped. Stops when nobody takes more.
pub fn lines(mut input: impl BufRead, mut take: impl FnMut(Numbered) -> bool) -> io::Result<()> {
    for number in 1.. {
        // Large at once, because a buffer that grows leaves parts of a secret in memory.
        let ahead = input.fill_buf()?.iter().position(|byte| *byte == b'\n');
        let mut line = Zeroizing::new(Vec::with_capacity(ahead.map_or(4096, |end| end + 1)));
        let read = input
            .by_ref()
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        let is_whole = line.ends_with(b"\n") || read <= MAX_LINE;
        if !is_whole {
            input.skip_until(b'\n')?;
        }
        let text = match is_whole {
            true if line.trim_ascii().is_empty() => continue,
            true => Ok(line),
            false => Err(Code::TOO_LONG),
        };
        if !take(Numbered { number, text }) {
            break;
        }
    }
    Ok(())
}

/// Hands over each entry of a JSON array, or the one object that it is.
pub fn entries(input: impl Read, mut take: impl FnMut(Numbered) -> bool) -> Result<()> {
    let wrong = |what: &str| {
        Error::new(ErrorKind::Input, format!("the file {what}"))
            .hint("give what `n8n export:credentials --all --decrypted` writes")
    };
    let text = read_bounded(input, MAX_ARRAY)
        .map_err(|error| unreadable(&error))?
        .ok_or_else(|| wrong("is larger than 64 MiB"))?;
    let entries: Vec<&RawValue> = serde_json::from_slice(&text)
        .or_else(|_| serde_json::from_slice(&text).map(|one| vec![one]))
        .map_err(|_| wrong("is no JSON"))?;
    for (entry, number) in entries.into_iter().zip(1..) {
        let text = Ok(Zeroizing::new(entry.get().as_bytes().to_vec()));
        if !take(Numbered { number, text }) {
            break;
        }
    }
    Ok(())
}

pub fn unreadable(error: &io::Error) -> Error {
    Error::new(
        ErrorKind::Machine,
        format!("the file cannot be read: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> Vec<(u64, Result<String, Code>)> {
        let mut all = Vec::new();
        lines(BufReader::with_capacity(7, text), |line| {
            let text = line
                .text
                .map(|text| String::from_utf8_lossy(text.trim_ascii()).into_owned());
            all.push((line.number, text));
            true
        })
        .unwrap();
        all
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_has_its_own_number() {
        for length in [MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE] {
            let long = "x".repeat(length);
            let text = format!("a\r\n\n  \n{long}\nb");
            let expected = match length {
                MAX_LINE => Ok(long),
                _ => Err(Code::TOO_LONG),
            };
            assert_eq!(
                all(text.as_bytes()),
                [
                    (1, Ok("a".to_owned())),
                    (4, expected),
                    (5, Ok("b".to_owned()))
                ],
                "{length}"
            );
        }
    }

    #[test]
    fn a_long_last_line_without_end_is_told_apart_too() {
        assert_eq!(all("x".repeat(MAX_LINE).as_bytes()).len(), 1);
        assert_eq!(
            all("x".repeat(MAX_LINE + 1).as_bytes()),
            [(1, Err(Code::TOO_LONG))]
        );
    }

    #[test]
    fn reading_stops_when_nobody_takes_more() {
        let mut taken = 0;
        lines(Cursor::new("a\nb\nc\n"), |_| {
            taken += 1;
            taken < 2
        })
        .unwrap();
        assert_eq!(taken, 2);
    }

    #[test]
    fn an_array_is_read_entry_by_entry_and_an_object_is_one() {
        let read = |text: &str| {
            let mut all = Vec::new();
            let done = entries(text.as_bytes(), |entry| {
                all.push((
                    entry.number,
                    String::from_utf8(entry.text.unwrap().to_vec()).unwrap(),
                ));
                true
            });
            done.map(|()| all).map_err(|error| error.kind())
        };
        let pair = |number, text: &str| (number, text.to_owned());
        assert_eq!(
            read(r#"[{"a": [1]}, 2]"#),
            Ok(vec![pair(1, r#"{"a": [1]}"#), pair(2, "2")])
        );
        assert_eq!(read(r#" {"a":1} "#), Ok(vec![pair(1, r#"{"a":1}"#)]));
        for wrong in ["", "[", r#"{"a":1}{"b":2}"#, "planted"] {
            assert_eq!(read(wrong), Err(ErrorKind::Input), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_line_is_handed_over_once(given in prop::collection::vec("[a-z]{0,12}", 0..20)) {
            let read = all(given.join("\n").as_bytes());
            let expected: Vec<_> = given.iter().zip(1..).filter(|(line, _)| !line.is_empty()).map(|(line, number)| (number, Ok(line.clone()))).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
