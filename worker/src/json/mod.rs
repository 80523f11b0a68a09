//! JSON that is read: parsed into a value once, of which each field is then taken by its name. What serde derives reads the same at four
//! times the weight in wasm, and reads a tagged enum no faster, since it buffers all of it as well (docs/performance.md).

mod once;
mod values;

pub use once::parse_once;
pub use values::{ById, Given};

use serde_json::{Map, Value};

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

/// Defines a struct that is read of an object with its fields; an `exact` one, of an object with no others.
macro_rules! object {
    ($(#[$meta:meta])* exact struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        struct $name { $($field: $type),* }

        $crate::json::fields!($name { $($field),* } end_exactly);
    };
    ($(#[$meta:meta])* $visible:vis struct $name:ident {
        $($(#[$of_field:meta])* $shown:vis $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$meta])*
        $visible struct $name { $($(#[$of_field])* $shown $field: $type),* }

        $crate::json::fields!($name { $($field),* } end);

        impl $crate::json::Field for $name {
            fn blank() -> Self {
                Self { $($field: $crate::json::Field::blank()),* }
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
                let word: String = fields.take($tag);
                let read = match word.as_str() {
                    $($word => Self::$variant
                        $((fields.rest::<$inner>()?))? $({ $($field: fields.take(stringify!($field))),* })?,)*
                    _ => return Err($tag),
                };
                fields.end(read)
            }
        }
    };
}
pub(crate) use tagged;

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

    object! {
        #[derive(Debug, PartialEq)]
        exact struct Wish {
            name: Given<String>,
            note: Given<Option<String>>,
            count: Option<u32>,
        }
    }

    #[test]
    fn an_exact_object_holds_nothing_else_and_null_is_not_left_out() {
        let wish = |note, count| Wish {
            name: Given(None),
            note: Given(note),
            count,
        };
        assert_eq!(parse("{}"), Some(wish(None, None)));
        assert_eq!(
            parse(r#"{"note":null,"count":null}"#),
            Some(wish(Some(None), None))
        );
        assert_eq!(
            parse(r#"{"note":"n","count":7}"#),
            Some(wish(Some(Some("n".to_owned())), Some(7)))
        );
        for wrong in [
            r#"{"name":null}"#,
            r#"{"more":1}"#,
            r#"{"count":7,"name":"n","Name":"n"}"#,
            r#"["n"]"#,
            "null",
        ] {
            assert_eq!(parse::<Wish>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_number_is_written_as_it_was_read() {
        for number in [
            "123456789012345678901234567890.10",
            "-0.00000000000000000000000000000001",
            "18446744073709551616",
            "9007199254740993.0",
            "1e400",
        ] {
            let read: Value = parse(number).unwrap();
            assert_eq!(read.to_string(), number.replace('e', "e+"), "{number}");
        }
    }

    #[test]
    fn what_is_no_json_is_nothing() {
        for text in ["", "planted", "{}", r#"{"outcome":"too_many"} x"#] {
            assert!(parse::<Outcome>(text).is_none(), "{text}");
        }
    }
}
