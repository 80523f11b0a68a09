//! What is left of the readers without serde: the catalogue's, until it is a crate of its own.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What can be read of a JSON value.
pub trait Read: Sized {
    /// Reads it.
    fn read(value: Value) -> Shape<Self>;
}

/// What was read; or the field that is missing or holds something else, empty where that is the value itself.
pub type Shape<T> = Result<T, &'static str>;

/// What can be read of an object's field.
pub trait Field: Read {
    /// What stands for a field that is left out: for most there is nothing that could.
    fn absent() -> Shape<Self> {
        Err("")
    }

    /// What stands in a field's place until its fault is found, at the end: to stop at once at each of them would be most of the code.
    fn blank() -> Self;
}

/// The fields of an object, and which of those that were taken is at fault.
pub struct Fields {
    map: Map<String, Value>,
    fault: Option<&'static str>,
}

impl Fields {
    /// Those of an object; nothing else has any.
    pub fn of(value: Value) -> Shape<Self> {
        Map::read(value).map(|map| Self { map, fault: None })
    }

    /// Takes a field by its name, which may be written as Rust wants it (`r#type`).
    pub fn take<T: Field>(&mut self, name: &'static str) -> T {
        let name = name.strip_prefix("r#").unwrap_or(name);
        let read = self.map.remove(name).map_or_else(T::absent, T::read);
        read.unwrap_or_else(|place| {
            let place = if place.is_empty() { name } else { place };
            self.fault.get_or_insert(place);
            T::blank()
        })
    }

    /// The same for a field that may be left out.
    pub fn take_or<T: Read>(&mut self, name: &'static str, otherwise: fn() -> T) -> T {
        let Given(given) = self.take(name);
        given.unwrap_or_else(otherwise)
    }

    /// The same for a field that nothing can stand in for.
    pub fn need<T: Read>(&mut self, name: &'static str) -> Shape<T> {
        let Given(given) = self.take(name);
        given.ok_or(self.fault.unwrap_or(name))
    }

    /// Reads the fields that are left as one object.
    pub fn rest<T: Read>(&mut self) -> Shape<T> {
        T::read(Value::Object(std::mem::take(&mut self.map)))
    }

    /// Ends an object: what was read of it, unless a field was at fault.
    pub fn end<T>(self, read: T) -> Shape<T> {
        match self.fault {
            None => Ok(read),
            Some(place) => Err(place),
        }
    }

    /// The same for an object that may hold nothing else.
    pub fn end_exactly<T>(self, read: T) -> Shape<T> {
        if self.map.is_empty() {
            self.end(read)
        } else {
            Err("")
        }
    }
}

/// How a struct is read of an object with its fields, and how that ends: `end` or `end_exactly`.
macro_rules! fields {
    ($name:ident { $($field:ident),* } $end:ident) => {
        impl $crate::json::Read for $name {
            fn read(value: serde_json::Value) -> $crate::json::Shape<Self> {
                let mut fields = $crate::json::Fields::of(value)?;
                let read = Self { $($field: fields.take(stringify!($field))),* };
                fields.$end(read)
            }
        }
    };
}
pub(crate) use fields;

/// How an enum is read of the words for its variants.
macro_rules! words {
    ($name:ident { $first:literal => $blank:ident $(, $word:literal => $variant:ident)* $(,)? }) => {
        impl $crate::json::Read for $name {
            fn read(value: serde_json::Value) -> $crate::json::Shape<Self> {
                match value.as_str() {
                    Some($first) => Ok(Self::$blank),
                    $(Some($word) => Ok(Self::$variant),)*
                    _ => Err(""),
                }
            }
        }

        impl $crate::json::Field for $name {
            fn blank() -> Self {
                Self::$blank
            }
        }
    };
}
pub(crate) use words;

/// How a type is read of the values that hold one.
macro_rules! read {
    ($($type:ty, $blank:expr, $pattern:pat => $read:expr;)*) => {
        $(impl Read for $type {
            fn read(value: Value) -> Shape<Self> {
                match value {
                    $pattern => $read,
                    _ => None,
                }
                .ok_or("")
            }
        }

        impl Field for $type {
            fn blank() -> Self {
                $blank
            }
        })*
    };
}
read! {
    bool, false, Value::Bool(flag) => Some(flag);
    u64, 0, Value::Number(number) => number.as_u64();
    usize, 0, Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok());
    u32, 0, Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok());
    u16, 0, Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok());
    String, Self::new(), Value::String(text) => Some(text);
    Map<String, Value>, Self::new(), Value::Object(map) => Some(map);
}

/// A field that may be null, or left out.
impl<T: Read> Read for Option<T> {
    fn read(value: Value) -> Shape<Self> {
        match value {
            Value::Null => Ok(None),
            value => T::read(value).map(Some),
        }
    }
}

impl<T: Read> Field for Option<T> {
    fn absent() -> Shape<Self> {
        Ok(None)
    }

    fn blank() -> Self {
        None
    }
}

/// A field that may be left out, which null is not the same as.
#[derive(Debug, PartialEq, Eq)]
pub struct Given<T>(pub Option<T>);

impl<T: Read> Read for Given<T> {
    fn read(value: Value) -> Shape<Self> {
        T::read(value).map(|value| Self(Some(value)))
    }
}

impl<T: Read> Field for Given<T> {
    fn absent() -> Shape<Self> {
        Ok(Self(None))
    }

    fn blank() -> Self {
        Self(None)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: Value) -> Shape<Self> {
        let Value::Array(items) = value else {
            return Err("");
        };
        let mut list = Self::with_capacity(items.len());
        for item in items {
            list.push(T::read(item)?);
        }
        Ok(list)
    }
}

impl<T: Read> Field for Vec<T> {
    fn blank() -> Self {
        Self::new()
    }
}

/// The names of an object are read as keys.
impl<K: Read + Ord, V: Read> Read for BTreeMap<K, V> {
    fn read(value: Value) -> Shape<Self> {
        // One by one: collecting them would sort them first, and a sort is 3 KB of code for each type.
        let mut map = Self::new();
        for (name, value) in Map::read(value)? {
            map.insert(K::read(Value::String(name))?, V::read(value)?);
        }
        Ok(map)
    }
}

/// Parses a text and reads it; None: it is no JSON, or of another shape.
pub fn parse<T: Read>(text: &str) -> Option<T> {
    T::read(serde_json::from_str(text).ok()?).ok()
}
