//! The name that a user gives an integration.

use crate::error::{ClientError, Result};

/// A name of 1 to 200 characters on one line, without surrounding blanks.
#[derive(Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a str);

/// In characters. The database has the same bound.
const MAX: usize = 200;

impl<'a> Name<'a> {
    pub fn parse(text: &'a str) -> Result<Self> {
        let name = text.trim();
        let fine = !name.is_empty() && name.chars().count() <= MAX && !name.contains(confusing);
        fine.then_some(Self(name))
            .ok_or(ClientError::Invalid("name must be 1 to 200 characters on one line").into())
    }

    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// A provider's name in a form that can be stored and shown: one line of at most 200 characters. It may be empty.
pub fn cleaned(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !confusing(*c)).take(MAX).collect();
    kept.trim().to_owned()
}

/// Whether a text of the application is 1 to 200 characters on one line, without surrounding blanks.
pub fn is_line(text: &str) -> bool {
    (1..=MAX).contains(&text.chars().count()) && text.trim() == text && !text.contains(confusing)
}

/// Controls, line and paragraph separators, and marks that change the writing direction: a name must not rearrange the text
/// around it.
pub fn confusing(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_name_is_cleaned() {
        for (text, name) in [
            ("Acme\u{202e}gpj.exe\u{200f}\0", "Acmegpj.exe"),
            (" a\nb ", "ab"),
            ("\u{2066}", ""),
        ] {
            assert_eq!(cleaned(text), name);
        }
        assert_eq!(cleaned(&"ü".repeat(MAX + 1)).chars().count(), MAX);
    }

    #[test]
    fn a_name_is_a_line_of_text() {
        for (text, name) in [
            ("Production", "Production"),
            ("  Büro 東京 \t", "Büro 東京"),
            (&"ü".repeat(MAX), &"ü".repeat(MAX)),
        ] {
            assert_eq!(Name::parse(text).unwrap().as_str(), name);
        }
        for wrong in [
            "",
            " \n ",
            "a\nb",
            "a\0b",
            "a\u{2028}b",
            "a\u{202e}b",
            &"x".repeat(MAX + 1),
        ] {
            assert!(Name::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
