//! Reads a config's JSON text without changing any value.
//!
//! serde_json's `Value` reads an object whose first member has one of its private names as a number or as raw JSON, which would
//! change a plaintext member of that name. So this module reads objects member by member, as raw text.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// serde_json's own limit. The format allows far less, so a deeper config is rejected without a walk.
const MAX_DEPTH: usize = 128;

/// The text is not a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAConfig {
    /// Valid JSON, but not an object.
    NotAnObject,
    /// Nested too deeply.
    TooDeep,
    /// Not JSON, but it begins as JSON.
    EndsTooEarly,
    /// Not JSON, at this line and column.
    NotJson { line: usize, column: usize },
}

pub fn parse(text: &str) -> Result<Map<String, Value>, NotAConfig> {
    let raw: &RawValue = serde_json::from_str(text)?;
    match value(raw.get(), 0)? {
        Value::Object(config) => Ok(config),
        _ => Err(NotAConfig::NotAnObject),
    }
}

fn value(text: &str, depth: usize) -> Result<Value, NotAConfig> {
    let text = text.trim_ascii();
    match text.as_bytes().first() {
        Some(b'{' | b'[') if depth == MAX_DEPTH => Err(NotAConfig::TooDeep),
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            members
                .into_iter()
                .map(|(name, raw)| Ok((name, value(raw.get(), depth + 1)?)))
                .collect::<Result<_, _>>()
                .map(Value::Object)
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            elements
                .into_iter()
                .map(|raw| value(raw.get(), depth + 1))
                .collect::<Result<_, _>>()
                .map(Value::Array)
        }
        _ => Ok(serde_json::from_str(text)?),
    }
}

impl From<serde_json::Error> for NotAConfig {
    fn from(error: serde_json::Error) -> Self {
        // serde's message may quote a value.
        if error.is_eof() {
            return Self::EndsTooEarly;
        }
        Self::NotJson {
            line: error.line(),
            column: error.column(),
        }
    }
}

impl fmt::Display for NotAConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("valid JSON, but not an object"),
            Self::TooDeep => write!(f, "more than {MAX_DEPTH} levels"),
            Self::EndsTooEarly => f.write_str("the JSON ends too early"),
            Self::NotJson { line, column } => {
                write!(f, "not JSON at line {line} column {column}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_members_that_have_serde_jsons_private_names() {
        for text in [
            r#"{"$serde_json::private::Number":"5"}"#,
            r#"{"$serde_json::private::Number":"planted"}"#,
            r#"{"$serde_json::private::RawValue":"[1]"}"#,
            r#"{"a":{"api_key":"b","x":{"$serde_json::private::Number":"5"}}}"#,
            r#"{"a":[{"$serde_json::private::RawValue":"{}"}]}"#,
        ] {
            let config = parse(text).unwrap();
            assert_eq!(Value::Object(config).to_string(), text);
        }
    }

    #[test]
    fn says_why_a_text_is_no_config() {
        let nested = |depth| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
        for (text, why) in [
            ("null", NotAConfig::NotAnObject),
            ("[]", NotAConfig::NotAnObject),
            ("\"text\"", NotAConfig::NotAnObject),
            ("7", NotAConfig::NotAnObject),
            (&nested(MAX_DEPTH), NotAConfig::TooDeep),
            (&nested(100_000), NotAConfig::TooDeep),
            ("", NotAConfig::EndsTooEarly),
            ("{", NotAConfig::EndsTooEarly),
            ("{\"a\": 01}", NotAConfig::NotJson { line: 1, column: 8 }),
        ] {
            assert_eq!(parse(text), Err(why), "{text:.40}");
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        let text = r#"{"n":123456789012345678901234567890.10,"o":-0.0}"#;
        assert_eq!(Value::Object(parse(text).unwrap()).to_string(), text);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(value in any_json()) {
            let config = json!({"a": value});
            prop_assert_eq!(Value::Object(parse(&config.to_string()).unwrap()), config);
        }
    }
}
