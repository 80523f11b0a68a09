//! The fields that a user enters to connect an account with credentials: the values that they accept, and the texts of the entry that they
//! fill.

use serde::{Deserialize, Serialize};

/// A field, as the entry describes it and `GET /api/providers` shows it. Its name is also the config's key.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    pub name: String,
    /// For people.
    pub label: String,
    /// A secret is sealed and never shown.
    pub secret: bool,
    /// Where to find it, or which rights it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    #[serde(default, skip_serializing)]
    pub format: Format,
    /// The longest value, in bytes.
    #[serde(default = "usual", skip_serializing)]
    pub max: usize,
}

fn usual() -> usize {
    255
}

/// The values that a field accepts. All but the first may become part of a URL, and none of them can leave its place there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Printable ASCII without blanks.
    #[default]
    Text,
    /// Letters, digits, hyphens and underscores.
    Word,
    /// A label of a host name (RFC 1123, 2.1), in lower case.
    Label,
    /// Several such labels, separated by dots.
    Labels,
}

/// RFC 1035, 2.3.4.
const LABEL_MAX: usize = 63;

impl Format {
    pub fn accepts(self, value: &str) -> bool {
        match self {
            Self::Text => !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic()),
            Self::Word => !value.is_empty() && value.bytes().all(is_word),
            Self::Label => is_label(value),
            Self::Labels => value.split('.').all(is_label),
        }
    }

    pub fn expected(self) -> &'static str {
        match self {
            Self::Text => "printable ASCII without blanks",
            Self::Word => "letters, digits, hyphens and underscores",
            Self::Label => "letters, digits and hyphens, such as acme in acme.example.com",
            Self::Labels => "letters, digits, hyphens and dots, such as acme.eu",
        }
    }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-' || b == b'_'
}

fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=LABEL_MAX).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Replaces each `{name}` in a text of an entry. None if a value is missing.
pub fn fill<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(value(name)?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_format_takes_its_own() {
        for (format, right, wrong) in [
            (
                Format::Text,
                &["sk_live_x", "a@b.c", "a:b/c?d"] as &[&str],
                &["", " ", "a b", "a\n", "a\r\nx: y", "ä", "\u{7f}"] as &[&str],
            ),
            (
                Format::Word,
                &["AC0123", "a-b_c"],
                &["", ".", "..", "a/b", "a.b", "a%2fb", "a?b", "a#b", "ä"],
            ),
            (
                Format::Label,
                &["acme", "a", "a-1", "1"],
                &[
                    "",
                    "-a",
                    "a-",
                    "Acme",
                    "a.b",
                    "a_b",
                    "evil.example/",
                    "evil.example#",
                    "a@b",
                    "a:80",
                    "a\\b",
                    "a%2e",
                    "ａ",
                    "localhost.",
                ],
            ),
            (
                Format::Labels,
                &[
                    "acme",
                    "acme.eu",
                    "contoso.onmicrosoft.com",
                    "b9419818-09af-49c2-b0c3-653adc1f376e",
                ],
                &[
                    "", ".", "..", "a..b", ".a", "a.", "a/b", "a.b@c", "a.-b", "A.b",
                ],
            ),
        ] {
            for value in right {
                assert!(format.accepts(value), "{format:?} {value:?}");
            }
            for value in wrong {
                assert!(!format.accepts(value), "{format:?} {value:?}");
            }
        }
        assert!(Format::Label.accepts(&"a".repeat(LABEL_MAX)));
        assert!(!Format::Label.accepts(&"a".repeat(LABEL_MAX + 1)));
    }

    #[test]
    fn a_text_is_filled_whole_or_not_at_all() {
        let value = |name: &str| match name {
            "a" => Some("1"),
            "b" => Some("{a}"),
            _ => None,
        };
        assert_eq!(
            fill("{a}/x/{b}", value).unwrap(),
            "1/x/{a}",
            "values are no texts"
        );
        assert_eq!(fill("", value).unwrap(), "");
        for wrong in ["{c}", "{a", "{a}{", "{}"] {
            assert_eq!(fill(wrong, value), None, "{wrong}");
        }
    }

    proptest! {
        // No value of a format for URLs changes the end of the host.
        #[test]
        fn no_value_names_another_host(value in "\\PC{0,30}|[a-z0-9.:/?#@%\\\\-]{0,30}") {
            for format in [Format::Word, Format::Label, Format::Labels] {
                if !format.accepts(&value) {
                    continue;
                }
                let url = fill("https://{x}.zendesk.com/api/{x}/me", |_| Some(&value)).unwrap();
                let rest = url.strip_prefix("https://").unwrap();
                let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap());
                prop_assert!(authority.ends_with(".zendesk.com") && !authority.contains(['@', ':', '%']));
                prop_assert_eq!(path.split('/').count(), 4);
                prop_assert!(path.split('/').all(|part| part != "." && part != ".."));
            }
        }
    }
}
