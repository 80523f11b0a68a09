//! Numbers of seconds, as others write them: in digits, maybe with a fraction. No `f64`: its parser weighs 14 KB gzipped in wasm.

use crate::json::{Read, Shape};
use serde_json::Value;

/// So many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds {
    /// The whole ones.
    pub whole: i64,
    /// Whether there is a part of one more.
    pub fraction: bool,
}

/// What every larger number is taken for: thirty million years.
const MAX: i64 = 1_000_000_000_000_000;

impl Seconds {
    /// Reads digits, and a fraction in digits. None: there is a sign or an exponent, or it is no number.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (digits(whole) && digits(fraction)).then(|| Self {
            whole: whole.parse().unwrap_or(MAX).min(MAX),
            fraction: fraction.bytes().any(|b| b != b'0'),
        })
    }

    /// Whole seconds, no fewer.
    pub fn rounded_up(self) -> i64 {
        self.whole + i64::from(self.fraction)
    }
}

/// A number.
impl Read for Seconds {
    fn read(value: Value) -> Shape<Self> {
        match value {
            Value::Number(number) => Self::parse(&number.to_string()).ok_or(""),
            _ => Err(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_digits_and_maybe_a_fraction() {
        for (text, whole, rounded_up) in [
            ("0", 0, 0),
            ("0.2", 0, 1),
            ("12.000", 12, 12),
            ("12.5", 12, 13),
            ("0012", 12, 12),
            ("1800000060000", 1_800_000_060_000, 1_800_000_060_000),
            ("99999999999999999999999999", MAX, MAX),
            ("99999999999999999999999999.5", MAX, MAX + 1),
        ] {
            let seconds = Seconds::parse(text).unwrap();
            assert_eq!(
                (seconds.whole, seconds.rounded_up()),
                (whole, rounded_up),
                "{text}"
            );
        }
        for text in [
            "", "-1", "+1", "1e3", "1.5e3", "inf", "NaN", ".", ".5", "5.", "1.2.3", "0x10", " 1",
            "soon",
        ] {
            assert_eq!(Seconds::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_of_json_is_read_and_nothing_else_is() {
        for (json, whole) in [
            ("7", Some(7)),
            ("7.9", Some(7)),
            ("18446744073709551615", Some(MAX)),
            ("-7", None),
            ("7e300", None),
            ("\"7\"", None),
            ("true", None),
        ] {
            let read = crate::json::parse::<Seconds>(json).map(|seconds| seconds.whole);
            assert_eq!(read, whole, "{json}");
        }
    }
}
