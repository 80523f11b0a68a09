//! Finds the secrets of a config.

use serde_json::{Map, Value};

use crate::envelope::ENC;
use crate::error::{Fault, Refused};
use crate::pointer::Pointer;
use crate::sensitive::is_sensitive;

/// A config as the database stores it: of the current form, of the legacy form, or without secrets.
pub type StoredConfig = Map<String, Value>;

/// The most levels of nested objects and arrays. The config itself is the first.
pub const MAX_DEPTH: usize = 32;

/// The most members and elements of a config, at all levels together, without `_enc`.
pub const MAX_VALUES: usize = 10_000;

/// The longest secret, in bytes of UTF-8.
pub const MAX_VALUE: usize = 64 * 1024;

/// The most bytes of all names and strings of a config to be sealed, in UTF-8. A stored config may have twice as many, because sealing makes a
/// text longer by a third and 42 characters.
pub const MAX_CONFIG_TEXT: usize = 1024 * 1024;

/// A sensitive field: its JSON Pointer and its string.
pub(crate) struct Field<'a> {
    pub pointer: String,
    pub text: &'a str,
}

/// Returns the sensitive strings of a config, in order. `_enc` at the top is left out.
///
/// Rejects a config beyond the bounds, and one whose sensitive field holds neither a string nor null: ignoring it would store a secret in
/// the clear.
pub(crate) fn fields(config: &StoredConfig, max_text: usize) -> Result<Vec<Field<'_>>, Refused> {
    let mut walk = Walk {
        pointer: Pointer::default(),
        fields: Vec::new(),
        values: 0,
        text: 0,
        max_text,
    };
    for (name, value) in config {
        if name != ENC {
            walk.member(name, value, 1)?;
        }
    }
    Ok(walk.fields)
}

struct Walk<'a> {
    pointer: Pointer,
    fields: Vec<Field<'a>>,
    values: usize,
    text: usize,
    max_text: usize,
}

impl<'a> Walk<'a> {
    fn member(&mut self, name: &str, value: &'a Value, depth: usize) -> Result<(), Refused> {
        self.count(name)?;
        let outer = self.pointer.enter_name(name);
        if is_sensitive(name) {
            self.secret(value)?;
        } else {
            self.value(value, depth)?;
        }
        self.pointer.leave(outer);
        Ok(())
    }

    fn secret(&mut self, value: &'a Value) -> Result<(), Refused> {
        match value {
            Value::Null => self.add(""),
            Value::String(text) => {
                self.fields.push(Field {
                    pointer: self.pointer.as_str().to_owned(),
                    text,
                });
                self.add(text)
            }
            _ => Err(self.refuse(Fault::WrongType)),
        }
    }

    fn value(&mut self, value: &'a Value, depth: usize) -> Result<(), Refused> {
        match value {
            Value::Object(_) | Value::Array(_) if depth == MAX_DEPTH => {
                Err(self.refuse(Fault::TooDeep))
            }
            Value::Object(members) => members
                .iter()
                .try_for_each(|(name, value)| self.member(name, value, depth + 1)),
            Value::Array(elements) => elements.iter().enumerate().try_for_each(|(index, value)| {
                self.count("")?;
                let outer = self.pointer.enter_index(index);
                self.value(value, depth + 1)?;
                self.pointer.leave(outer);
                Ok(())
            }),
            Value::String(text) => self.add(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    fn count(&mut self, name: &str) -> Result<(), Refused> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.refuse(Fault::TooLarge));
        }
        self.add(name)
    }

    fn add(&mut self, text: &str) -> Result<(), Refused> {
        self.text += text.len();
        if self.text > self.max_text {
            Err(self.refuse(Fault::TooLarge))
        } else {
            Ok(())
        }
    }

    fn refuse(&self, fault: Fault) -> Refused {
        Refused::new(fault, self.pointer.as_str())
    }
}

/// Copies a config with new texts in its sensitive fields, in the order of [`fields`], and without `_enc`.
pub(crate) fn with_texts(
    config: &StoredConfig,
    texts: &mut dyn Iterator<Item = String>,
) -> StoredConfig {
    let mut copy = object_with_texts(config, texts);
    copy.remove(ENC);
    copy
}

fn object_with_texts(
    members: &Map<String, Value>,
    texts: &mut dyn Iterator<Item = String>,
) -> Map<String, Value> {
    // `collect` would sort what is sorted already, which costs time and 10 KB of wasm.
    let mut copy = Map::new();
    for (name, value) in members {
        let value = match value {
            Value::String(_) if is_sensitive(name) => match texts.next() {
                Some(text) => Value::String(text),
                None => unreachable!("there is a text for every field that was found"),
            },
            value => value_with_texts(value, texts),
        };
        copy.insert(name.clone(), value);
    }
    copy
}

fn value_with_texts(value: &Value, texts: &mut dyn Iterator<Item = String>) -> Value {
    match value {
        Value::Object(members) => Value::Object(object_with_texts(members, texts)),
        Value::Array(elements) => Value::Array(
            elements
                .iter()
                .map(|value| value_with_texts(value, texts))
                .collect(),
        ),
        other => other.clone(),
    }
}
