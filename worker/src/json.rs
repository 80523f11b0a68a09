//! JSON that is read: parsed into a value once, of which each field is then taken by its name. What serde derives reads the same at four
//! times the weight in wasm, and reads a tagged enum no faster, since it buffers all of it as well (docs/performance.md).

use crate::ids::{EndpointId, EventId, IntegrationId, OrganizationId, TransactionId, UserId};
use chrono::{DateTime, Utc};
use sealed::Secret;
use serde_json::{Map, Value};
use std::collections::HashMap;
use uuid::Uuid;

/// What can be read of a JSON value.
pub trait Read: Sized {
    /// Reads it.
    fn read(value: Value) -> Shape<Self>;

    /// What stands for a field that is left out: for most there is nothing that could.
    fn absent() -> Shape<Self> {
        Err("")
    }
}

/// What was read; or the field that is missing or holds something else, empty where that is the value itself.
pub type Shape<T> = Result<T, &'static str>;

/// The fields of an object.
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Those of an object; nothing else has any.
    pub fn of(value: Value) -> Shape<Self> {
        Map::read(value).map(Self)
    }

    /// Takes a field by its name, which may be written as Rust wants it (`r#type`).
    pub fn take<T: Read>(&mut self, name: &'static str) -> Shape<T> {
        let name = name.strip_prefix("r#").unwrap_or(name);
        let read = self.0.remove(name).map_or_else(T::absent, T::read);
        read.map_err(|place| if place.is_empty() { name } else { place })
    }

    /// Reads what is left as one object.
    pub fn rest<T: Read>(self) -> Shape<T> {
        T::read(Value::Object(self.0))
    }
}

/// Defines a struct that is read of an object with its fields.
macro_rules! object {
    ($(#[$meta:meta])* $visible:vis struct $name:ident {
        $($(#[$of_field:meta])* $shown:vis $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$meta])*
        $visible struct $name { $($(#[$of_field])* $shown $field: $type),* }

        impl $crate::json::Read for $name {
            fn read(value: serde_json::Value) -> $crate::json::Shape<Self> {
                let mut fields = $crate::json::Fields::of(value)?;
                Ok(Self { $($field: fields.take(stringify!($field))?),* })
            }
        }
    };
}
pub(crate) use object;

/// Defines an enum that is read of an object: one field says which variant, the others are the variant's.
macro_rules! tagged {
    ($tag:literal $(#[$meta:meta])* $visible:vis enum $name:ident {
        $($(#[$of_variant:meta])* $word:literal => $variant:ident
            $(($inner:ty))? $({ $($(#[$of_field:meta])* $field:ident: $type:ty),* $(,)? })?),* $(,)?
    }) => {
        $(#[$meta])*
        $visible enum $name {
            $($(#[$of_variant])* $variant $(($inner))? $({ $($(#[$of_field])* $field: $type),* })?),*
        }

        impl $crate::json::Read for $name {
            fn read(value: serde_json::Value) -> $crate::json::Shape<Self> {
                let mut fields = $crate::json::Fields::of(value)?;
                let word: String = fields.take($tag)?;
                match word.as_str() {
                    $($word => Ok(Self::$variant
                        $((fields.rest::<$inner>()?))? $({ $($field: fields.take(stringify!($field))?),* })?),)*
                    _ => Err($tag),
                }
            }
        }
    };
}
pub(crate) use tagged;

/// How a type is read of the values that hold one.
macro_rules! read {
    ($($type:ty: $pattern:pat => $read:expr),* $(,)?) => {
        $(impl Read for $type {
            fn read(value: Value) -> Shape<Self> {
                match value {
                    $pattern => $read,
                    _ => None,
                }
                .ok_or("")
            }
        })*
    };
}

read! {
    String: Value::String(text) => Some(text),
    bool: Value::Bool(flag) => Some(flag),
    i64: Value::Number(number) => number.as_i64(),
    u64: Value::Number(number) => number.as_u64(),
    Map<String, Value>: Value::Object(map) => Some(map),
    Secret: Value::String(text) => Some(text.into()),
    Uuid: Value::String(text) => Uuid::try_parse(&text).ok(),
    DateTime<Utc>: Value::String(text) => DateTime::parse_from_rfc3339(&text).ok().map(|moment| moment.to_utc()),
}

impl Read for u32 {
    fn read(value: Value) -> Shape<Self> {
        u64::read(value)?.try_into().map_err(|_| "")
    }
}

impl Read for u16 {
    fn read(value: Value) -> Shape<Self> {
        u64::read(value)?.try_into().map_err(|_| "")
    }
}

/// Any JSON.
impl Read for Value {
    fn read(value: Value) -> Shape<Self> {
        Ok(value)
    }
}

/// A field that may be null, or left out.
impl<T: Read> Read for Option<T> {
    fn read(value: Value) -> Shape<Self> {
        match value {
            Value::Null => Ok(None),
            value => T::read(value).map(Some),
        }
    }

    fn absent() -> Shape<Self> {
        Ok(None)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: Value) -> Shape<Self> {
        match value {
            Value::Array(items) => items.into_iter().map(T::read).collect(),
            _ => Err(""),
        }
    }
}

/// By id.
impl<T: Read> Read for HashMap<Uuid, T> {
    fn read(value: Value) -> Shape<Self> {
        let pairs = Map::read(value)?.into_iter();
        let read = |(id, value)| Ok((Uuid::read(Value::String(id))?, T::read(value)?));
        pairs.map(read).collect()
    }
}

macro_rules! ids {
    ($($name:ident),*) => {
        $(impl Read for $name {
            fn read(value: Value) -> Shape<Self> {
                Uuid::read(value).map(Self)
            }
        })*
    };
}

ids!(
    EndpointId,
    EventId,
    IntegrationId,
    OrganizationId,
    TransactionId,
    UserId
);

/// Parses a text and reads it; None: it is no JSON, or of another shape.
pub fn parse<T: Read>(text: &str) -> Option<T> {
    T::read(serde_json::from_str(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    object! {
        #[derive(Debug, PartialEq)]
        struct Thing {
            r#type: String,
            count: u16,
            note: Option<bool>,
            parts: Vec<i64>,
        }
    }

    tagged! {
        "outcome"
        #[derive(Debug, PartialEq)]
        enum Outcome {
            "found" => Found(Thing),
            "paused" => Paused { seconds: u32 },
            "too_many" => TooMany,
        }
    }

    #[test]
    fn a_field_is_taken_by_name_and_one_too_many_is_passed_over() {
        let thing = |note| Thing {
            r#type: "t".to_owned(),
            count: 7,
            note,
            parts: vec![-1],
        };
        for (value, note) in [
            (json!({"type": "t", "count": 7, "parts": [-1]}), None),
            (
                json!({"type": "t", "count": 7, "note": null, "parts": [-1], "more": {}}),
                None,
            ),
            (
                json!({"note": true, "parts": [-1], "count": 7, "type": "t"}),
                Some(true),
            ),
        ] {
            assert_eq!(Thing::read(value), Ok(thing(note)));
        }
    }

    #[test]
    fn what_is_missing_or_of_another_shape_is_named() {
        for (value, place) in [
            (json!([]), ""),
            (json!({"type": "t"}), "count"),
            (json!({"type": null}), "type"),
            (json!({"type": "t", "count": -1}), "count"),
            (json!({"type": "t", "count": 1.0}), "count"),
            (json!({"type": "t", "count": 65_536}), "count"),
            (json!({"type": "t", "count": "7"}), "count"),
            (json!({"type": "t", "count": 7, "note": 1}), "note"),
            (
                json!({"type": "t", "count": 7, "parts": [1, null]}),
                "parts",
            ),
        ] {
            assert_eq!(Thing::read(value.clone()), Err(place), "{value}");
        }
    }

    #[test]
    fn a_variant_is_chosen_by_its_word() {
        let read = |value: &Value| Outcome::read(value.clone());
        assert_eq!(read(&json!({"outcome": "too_many"})), Ok(Outcome::TooMany));
        assert_eq!(
            read(&json!({"seconds": 5, "outcome": "paused"})),
            Ok(Outcome::Paused { seconds: 5 })
        );
        let mut found = json!({"outcome": "found", "type": "t", "count": 7, "parts": []});
        assert!(matches!(read(&found), Ok(Outcome::Found(_))));
        found["count"] = json!([]);
        assert_eq!(read(&found), Err("count"));
        for value in [
            json!({}),
            json!({"outcome": "TooMany"}),
            json!({"outcome": ["found"]}),
            json!({"outcome": "planted"}),
        ] {
            assert_eq!(read(&value), Err("outcome"), "{value}");
        }
    }

    #[test]
    fn ids_and_moments_are_parsed_where_they_are_read() {
        const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(
            IntegrationId::read(json!(ID)).unwrap().to_string(),
            ID.to_owned()
        );
        assert!(IntegrationId::read(json!("x")).is_err());
        let ends: HashMap<Uuid, bool> = parse(&format!(r#"{{"{ID}":true}}"#)).unwrap();
        assert_eq!(ends.len(), 1);
        assert!(parse::<HashMap<Uuid, bool>>(r#"{"x":true}"#).is_none());
        // As PostgreSQL writes a timestamptz into JSON.
        let moment = DateTime::<Utc>::read(json!("2026-01-01T00:00:00.123456+00:00")).unwrap();
        assert_eq!(moment.timestamp_subsec_micros(), 123_456);
        assert!(DateTime::<Utc>::read(json!("2026-01-01")).is_err());
    }

    #[test]
    fn what_is_no_json_is_nothing() {
        for text in ["", "planted", "{}", r#"{"outcome":"too_many"} x"#] {
            assert!(parse::<Outcome>(text).is_none(), "{text}");
        }
    }
}
