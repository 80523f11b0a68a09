//! Objects that others have written, of whose names none may stand twice.

use super::Read;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt::Formatter;

/// Parses an object and reads it; None: it is none, or of another shape, or a name stands in it twice, of which others may read the other.
pub fn parse_once<T: Read>(text: &str) -> Option<T> {
    let Once(map) = serde_json::from_str(text).ok()?;
    T::read(Value::Object(map?)).ok()
}

/// An object each of whose names stands once; None: it is no object, or there is one that does not.
struct Once(Option<Map<String, Value>>);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor)
    }
}

struct OnceVisitor;

/// What is no object: to leave these out would bring serde's messages, and the writer of floats that is in them.
macro_rules! none {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Once, E> {
            Ok(Once(None))
        })*
    };
}

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Once;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    none!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Once, A::Error> {
        Ok(Once(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Once, A::Error> {
        let (mut map, mut once) = (Map::new(), true);
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            once &= map.insert(name, value).is_none();
        }
        Ok(Once(once.then_some(map)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::object;

    object! {
        exact struct Wish {
            count: Option<u32>,
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_where_others_write() {
        let once = |text| parse_once::<Wish>(text).map(|wish| wish.count);
        assert_eq!(once(r#"{"count":7}"#), Some(Some(7)));
        for wrong in [
            r#"{"count":7,"count":7}"#,
            r#"{"count":7,"\u0063ount":8}"#,
            r#"{"count":"x","count":7}"#,
            r#"[["count",7]]"#,
            "[]",
            "7",
            "-7",
            "7.5",
            "true",
            "null",
            r#""count""#,
            "{} x",
            "",
        ] {
            assert_eq!(once(wrong), None, "{wrong}");
        }
    }
}
