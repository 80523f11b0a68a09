//! Reading a provider's response: whether there is one, its encoding, and whether it means success.

use crate::error::Error;
use crate::http::{HttpResponse, SendError};
use catalogue::{Encoding, Provider};
use serde_json::{Map, Value};

/// The error if the provider did not respond.
pub fn no_answer(what: &str, error: SendError) -> Error {
    let how = match error {
        SendError::Timeout => "did not answer in time",
        SendError::Network => "could not be reached, or broke off",
        SendError::TooLarge => "answered more than the limit",
    };
    Error::Provider {
        detail: format!("{what}: {how}").into(),
    }
}

/// Reads the body in the entry's format, whatever its Content-Type: JSON, or a form if the provider may answer with one although JSON is
/// requested.
pub fn body(provider: &Provider, answer: &HttpResponse) -> Option<Value> {
    let json = parse(&answer.body);
    if provider.token_response_format == Encoding::Json || json.is_some() {
        return json;
    }
    answer.body.contains('=').then(|| {
        let mut body = Map::new();
        for (name, value) in form_urlencoded::parse(answer.body.as_bytes()) {
            body.insert(name.into_owned(), Value::from(value));
        }
        Value::Object(body)
    })
}

/// The most values in a response: a thousand accounts of sixty members each. A parsed value takes about fifty bytes even if its text is short,
/// so a text of zeros would take thirty times its size.
const VALUES_MAX: usize = 64_000;

/// Parses JSON of at most `VALUES_MAX` values. A lone surrogate (RFC 8259, 8.2), which no Rust string can hold, is read as U+FFFD, so that the
/// rest can be used.
pub fn parse(text: &str) -> Option<Value> {
    // At most one more than the number of commas and opening brackets; those within strings are counted too.
    let values = text
        .bytes()
        .filter(|byte| matches!(byte, b',' | b'[' | b'{'));
    if values.count() >= VALUES_MAX {
        return None;
    }
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&without_lone_surrogates(text)))
        .ok()
}

/// Replaces the escapes of lone surrogates by the escape of U+FFFD.
fn without_lone_surrogates(text: &str) -> String {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut mended = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        mended.push_str(&text[at..at + found]);
        at += found;
        let length = match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.push_str("\\ufffd");
                at += 6;
                continue;
            }
            // The escape and the character after it, which may be another backslash.
            _ => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&text[at..at + length]);
        at += length;
    }
    mended.push_str(&text[at..]);
    mended
}

/// Finds the string value of a member in a text that is not valid JSON, because it is cut off or surrounded by other text.
pub fn find_member(text: &str, name: &str) -> Option<String> {
    let quoted = format!("\"{name}\"");
    let (_, rest) = text.split_once(&quoted)?;
    let rest = rest.trim_start().strip_prefix(':')?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    values.next()?.ok()
}

/// Whether a response with status 200 means success.
pub fn is_success(provider: &Provider, body: &Value) -> bool {
    let flag = provider.success_flag.as_ref();
    flag.is_none_or(|flag| body.pointer(flag) == Some(&Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_lone_surrogate_spoils_nothing_else() {
        for (text, expected) in [
            (
                r#"{"a":"\ud800","b":"x"}"#,
                json!({"a": "\u{fffd}", "b": "x"}),
            ),
            (r#"{"a":"\udc00\ud83d\ude00"}"#, json!({"a": "\u{fffd}😀"})),
            (r#"{"a":"\\ud800"}"#, json!({"a": "\\ud800"})),
            (
                r#"{"a":"\ud800\ud800\udc00"}"#,
                json!({"a": "\u{fffd}\u{10000}"}),
            ),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert_eq!(parse(r#"{"a":"\ud800""#), None);
    }

    // threat model 105
    #[test]
    fn an_answer_of_very_many_values_is_not_parsed() {
        let zeros = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(parse(&zeros(60_000)).is_some());
        assert_eq!(parse(&zeros(64_000)), None);
        assert_eq!(parse(&format!("[{}0]", "{},".repeat(40_000))), None);
    }

    #[test]
    fn a_member_is_found_in_what_is_not_json() {
        let cut = r#"{"token_type":"bearer", "access_token" : "a\"b", "expi"#;
        assert_eq!(find_member(cut, "access_token").as_deref(), Some("a\"b"));
        assert_eq!(
            find_member(r#"{"access_token":"cut o"#, "access_token"),
            None
        );
        assert_eq!(find_member("<html>", "access_token"), None);
    }

    proptest! {
        #[test]
        fn json_that_is_valid_stays_as_it_is(text in r#"([a-z"\\u0-9d]|\\ud[89a-f]00){0,40}"#) {
            let value = json!({ "a": text });
            prop_assert_eq!(without_lone_surrogates(&value.to_string()), value.to_string());
            let _ = parse(&format!("\"{text}\""));
        }
    }
}
