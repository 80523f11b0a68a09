//! Objects that others have written: no name may stand twice in any of them, and no text may hold U+0000.

use super::Read;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt::Formatter;

/// Parses an object and reads it. None: it is none, or of another shape; or a name stands twice in an object, at whatever depth, of which
/// others may read the other; or a text holds U+0000, which the database cannot store.
pub fn parse_once<T: Read>(text: &str) -> Option<T> {
    let Checked(is_fine) = serde_json::from_str(text).ok()?;
    if is_fine { super::parse(text) } else { None }
}

/// Whether all names and texts of a value are as they should be.
struct Checked(bool);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckingVisitor)
    }
}

struct CheckingVisitor;

/// What can hold no fault: to leave these out would bring serde's messages, and the writer of floats that is in them.
macro_rules! fine {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Checked, E> {
            Ok(Checked(true))
        })*
    };
}

impl<'de> Visitor<'de> for CheckingVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fine!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked(true))
    }

    fn visit_str<E>(self, text: &str) -> Result<Checked, E> {
        Ok(Checked(!text.contains('\0')))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Checked, A::Error> {
        let mut is_fine = true;
        while let Some(Checked(item)) = access.next_element()? {
            is_fine &= item;
        }
        Ok(Checked(is_fine))
    }

    // Numbers too come here, as an object of one name: serde_json's `arbitrary_precision`.
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Checked, A::Error> {
        let (mut names, mut is_fine) = (BTreeSet::new(), true);
        while let Some((name, Checked(value))) = access.next_entry::<String, _>()? {
            is_fine &= value && !name.contains('\0') && names.insert(name);
        }
        Ok(Checked(is_fine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::object;
    use serde_json::Value;

    object! {
        exact struct Wish {
            count: Option<u32>,
            more: Option<Value>,
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

    // threat model 114
    #[test]
    fn a_name_that_stands_twice_is_refused_at_every_depth() {
        let is_read = |more: &str| parse_once::<Wish>(&format!(r#"{{"more":{more}}}"#)).is_some();
        for right in [
            r#"{"a":1,"b":{"a":1}}"#,
            r#"[{"a":1},{"a":1}]"#,
            "[1.5e400,-7,18446744073709551616,true,null]",
        ] {
            assert!(is_read(right), "{right}");
        }
        for wrong in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"[[{"a":1,"\u0061":2}]]"#,
            r#"{"a":null,"b":[{}, {"c":{"d":1,"e":2,"d":3}}]}"#,
        ] {
            assert!(!is_read(wrong), "{wrong}");
        }
    }

    // threat model 125: U+0000 can be stored neither in text nor in jsonb.
    #[test]
    fn a_text_with_u_0000_is_refused_wherever_it_stands() {
        for wrong in [
            r#"{"more":"\u0000"}"#,
            r#"{"more":"a\u0000b"}"#,
            r#"{"more":{"a\u0000":1}}"#,
            r#"{"more":[[{"a":"\u0000"}]]}"#,
        ] {
            assert!(parse_once::<Wish>(wrong).is_none(), "{wrong}");
        }
        assert!(parse_once::<Wish>(r#"{"more":"\\u0000"}"#).is_some());
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_once_is_read(names in proptest::collection::btree_set("[^\0]{0,6}", 0..6), text in "[^\0]{0,12}") {
            let map: serde_json::Map<_, _> = names.into_iter().map(|name| (name, Value::from(text.as_str()))).collect();
            let body = serde_json::json!({"more": map}).to_string();
            proptest::prop_assert_eq!(parse_once::<Wish>(&body).unwrap().more, Some(Value::Object(map)));
        }
    }
}
