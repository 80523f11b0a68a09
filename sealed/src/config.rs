//! The walk through a config: which strings are secrets, and where they are.

use serde_json::{Map, Value};

use crate::envelope::ENC;
use crate::error::{Fault, Refused};
use crate::pointer::Pointer;
use crate::sensitive::is_sensitive;

/// A config as the database holds it: sealed, or of the legacy form, or without any secret.
pub type StoredConfig = Map<String, Value>;

/// How many objects and arrays may lie in each other; the config itself is the first.
pub const MAX_DEPTH: usize = 32;

/// How many members and elements a config may have, at all levels together, `_enc` not counted.
pub const MAX_VALUES: usize = 10_000;

/// How many bytes a secret may have, in UTF-8.
pub const MAX_VALUE: usize = 64 * 1024;

/// How many bytes all names and strings of a config to be sealed may have together, in UTF-8. A stored config may have
/// twice as many: sealing makes a text longer by a third and 42 characters.
pub const MAX_CONFIG_TEXT: usize = 1024 * 1024;

/// A secret's place in its config, and the string that stands there.
pub(crate) struct Field<'a> {
    pub pointer: String,
    pub text: &'a str,
}

/// The sensitive strings of a config, in the order of the walk. `_enc` at the top is not part of it.
///
/// It refuses a config beyond the bounds, and one where a sensitive field holds neither a string nor null: passing it by
/// would store a secret in the clear.
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

/// A copy of the config with other texts in its sensitive fields, in the order that [`fields`] found them, and without
/// `_enc`.
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
    // Not `collect`: that sorts what is in order already, which costs time here and 10 KB of wasm.
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
