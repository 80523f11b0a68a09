use std::fmt;

use serde_json::{Map, Value};
use zeroize::Zeroize;

/// An opened config, or one to be sealed: a JSON object with its secrets in the clear.
///
/// Its strings are zeroized on drop, its `Debug` is redacted, and it has no `Serialize`: the only way into the
/// database is [`KeyRing::seal`](crate::KeyRing::seal).
#[derive(PartialEq)]
pub struct PlainConfig(Map<String, Value>);

impl PlainConfig {
    /// Wraps the members without a check: [`KeyRing::seal`](crate::KeyRing::seal) checks them.
    pub fn from_map(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// All members, with the secrets in the clear.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The top-level member of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The top-level member of this name, if it is a string.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }
}

impl fmt::Debug for PlainConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainConfig(..)")
    }
}

impl Drop for PlainConfig {
    fn drop(&mut self) {
        self.0.values_mut().for_each(zeroize);
    }
}

fn zeroize(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(elements) => elements.iter_mut().for_each(zeroize),
        Value::Object(members) => members.values_mut().for_each(zeroize),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let Value::Object(map) = json!({"a_token": "hunter2", "name": "x"}) else {
            unreachable!()
        };
        let config = PlainConfig::from_map(map);
        assert_eq!(format!("{config:?}"), "PlainConfig(..)");
        assert_eq!(config.get_str("a_token"), Some("hunter2"));
        assert_eq!(config.get_str("b_token"), None);
        assert_eq!(config.as_map().len(), 2);
    }

    #[test]
    fn zeroizing_reaches_every_string() {
        let mut value = json!({"a": ["hunter2", {"b": "hunter2"}], "c": "hunter2", "d": 5});
        zeroize(&mut value);
        assert_eq!(value, json!({"a": ["", {"b": ""}], "c": "", "d": 5}));
    }
}
