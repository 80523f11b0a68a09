//! Reads JSON from outside: serde's derives, and the rules that they lack.

use sealed::Secret;
use serde::de::value::EnumAccessDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Error};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Formatter;

/// Parses an object that somebody else wrote. None: it has another shape; or an object in it, at any depth, has a key twice, of which
/// other parsers may take the other one; or a text holds U+0000, which the database cannot store.
pub fn parse_untrusted<T: DeserializeOwned>(text: &str) -> Option<T> {
    let Checked = serde_json::from_str(text).ok()?;
    // serde's derives also read an array, as the fields in their order.
    if !text.trim_start().starts_with('{') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// Reads an object as an enum: the field `tag` names the variant, the other fields are its own. Unlike with `#[serde(tag)]`, the error names
/// the field at fault (never its value), and every number keeps its text: a `Value` that is read out of another `Value` may write
/// 0.00001 as 1e-5.
pub fn read_tagged<T: DeserializeOwned>(tag: &str, text: &str) -> Result<T, String> {
    let name = variant_name(tag, text).ok_or(tag)?;
    let deserializer = EnumAccessDeserializer::new(Tagged { name, text });
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        // Of serde's messages only this one is free of values.
        let missing = message.strip_prefix("missing field `");
        match missing.and_then(|rest| rest.split('`').next()) {
            Some(field) => format!("{path}.{field}"),
            None if path == "." => tag.to_owned(),
            None => path,
        }
    })
}

fn variant_name(tag: &str, text: &str) -> Option<String> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    serde_json::from_str(fields.get(tag)?.get()).ok()
}

struct Tagged<'a> {
    name: String,
    text: &'a str,
}

impl<'de> EnumAccess<'de> for Tagged<'de> {
    type Error = Error;
    type Variant = Variant<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Variant<'de>), Error> {
        let variant = seed.deserialize(self.name.into_deserializer())?;
        Ok((variant, Variant(self.text)))
    }
}

/// The object's text. It still contains the tag, which derives ignore as an unknown field.
struct Variant<'a>(&'a str);

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut Deserializer::from_str(self.0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("an object has no positions"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        Deserializer::from_str(self.0).deserialize_map(visitor)
    }
}

/// For a field that may be left out, which differs from null: `#[serde(default, deserialize_with = "json::given")]`.
pub fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// For a field that holds a secret.
pub fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}

/// JSON without a repeated key and without U+0000.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON without a repeated key")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self, E> {
        if text.contains('\0') {
            return Err(E::custom("U+0000"));
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while let Some(Self) = items.next_element()? {}
        Ok(self)
    }

    // A number that needs `arbitrary_precision` comes here, as an object with one key.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, Self)) = entries.next_entry::<String, Self>()? {
            if key.contains('\0') || !keys.insert(key) {
                return Err(A::Error::custom("a repeated key, or U+0000"));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value, json};

    #[derive(Debug, PartialEq, Deserialize)]
    struct Thing {
        r#type: String,
        count: u16,
        note: Option<bool>,
        parts: Vec<i64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Outcome {
        Found(Thing),
        Paused { seconds: u32 },
        Raw { value: Value },
        TooMany,
    }

    fn read(value: Value) -> Result<Outcome, String> {
        read_tagged("outcome", &value.to_string())
    }

    #[test]
    fn reads_the_variant_that_the_tag_names_and_ignores_other_fields() {
        for value in [
            json!({"outcome": "too_many"}),
            json!({"outcome": "too_many", "more": 1}),
        ] {
            assert_eq!(read(value), Ok(Outcome::TooMany));
        }
        assert_eq!(
            read(json!({"seconds": 5, "outcome": "paused", "more": {}})),
            Ok(Outcome::Paused { seconds: 5 })
        );
        let thing = Thing {
            r#type: "t".to_owned(),
            count: 7,
            note: None,
            parts: vec![-1],
        };
        assert_eq!(
            read(json!({"outcome": "found", "type": "t", "count": 7, "note": null, "parts": [-1]})),
            Ok(Outcome::Found(thing))
        );
    }

    #[test]
    fn names_the_field_at_fault_and_never_its_value() {
        for value in [
            json!([]),
            json!({}),
            json!({"outcome": "TooMany"}),
            json!({"outcome": ["found"]}),
            json!({"outcome": "planted"}),
        ] {
            assert_eq!(read(value.clone()), Err("outcome".to_owned()), "{value}");
        }
        assert_eq!(
            read(json!({"outcome": "paused", "seconds": "planted"})),
            Err("paused.seconds".to_owned())
        );
        for (fields, place) in [
            (json!({"type": "t"}), "found.count"),
            (json!({"type": null}), "found.type"),
            (json!({"type": "t", "count": -1}), "found.count"),
            (json!({"type": "t", "count": 1.0}), "found.count"),
            (json!({"type": "t", "count": 65_536}), "found.count"),
            (json!({"type": "t", "count": "planted"}), "found.count"),
            (
                json!({"type": "t", "count": 7, "note": "planted"}),
                "found.note",
            ),
            (
                json!({"type": "t", "count": 7, "parts": [1, null]}),
                "found.parts[1]",
            ),
        ] {
            let mut value = fields;
            value["outcome"] = json!("found");
            assert_eq!(read(value.clone()), Err(place.to_owned()), "{value}");
        }
    }

    #[test]
    fn keeps_every_number_as_it_was_written() {
        for number in [
            "123456789012345678901234567890.10",
            "-0.00000000000000000000000000000001",
            "18446744073709551616",
            "9007199254740993.0",
            "1e400",
        ] {
            let text = format!(r#"{{"outcome":"raw","value":{number}}}"#);
            let Ok(Outcome::Raw { value }) = read_tagged("outcome", &text) else {
                panic!("{number}");
            };
            assert_eq!(value.to_string(), number.replace('e', "e+"), "{number}");
            let wish: Wish = parse_untrusted(&format!(r#"{{"more":{number}}}"#)).unwrap();
            assert_eq!(wish.more.unwrap(), value);
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        #[serde(default, deserialize_with = "given")]
        name: Option<String>,
        #[serde(default, deserialize_with = "given")]
        note: Option<Option<String>>,
        count: Option<u32>,
        more: Option<Value>,
    }

    #[test]
    fn null_differs_from_a_field_that_is_left_out() {
        let wish = |text| parse_untrusted::<Wish>(text).map(|wish| (wish.note, wish.count));
        assert_eq!(wish("{}"), Some((None, None)));
        assert_eq!(
            wish(r#"{"note":null,"count":null}"#),
            Some((Some(None), None))
        );
        assert_eq!(
            wish(r#"{"note":"n","count":7}"#),
            Some((Some(Some("n".to_owned())), Some(7)))
        );
        assert_eq!(wish(r#"{"name":null}"#), None);
    }

    #[test]
    fn rejects_a_repeated_key_an_unknown_key_and_what_is_no_object() {
        let count = |text| parse_untrusted::<Wish>(text).map(|wish| wish.count);
        assert_eq!(count(r#"{"count":7}"#), Some(Some(7)));
        for wrong in [
            r#"{"count":7,"count":7}"#,
            r#"{"count":7,"\u0063ount":8}"#,
            r#"{"count":"x","count":7}"#,
            r#"{"extra":1}"#,
            r#"{"count":7,"name":"n","Name":"n"}"#,
            r#"[["count",7]]"#,
            r#"["n",null,7,{}]"#,
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
            assert_eq!(count(wrong), None, "{wrong}");
        }
    }

    // threat model 114
    #[test]
    fn rejects_a_repeated_key_at_every_depth() {
        let is_read =
            |more: &str| parse_untrusted::<Wish>(&format!(r#"{{"more":{more}}}"#)).is_some();
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
    fn rejects_u_0000_in_every_text_and_key() {
        for wrong in [
            r#"{"more":"\u0000"}"#,
            r#"{"more":"a\u0000b"}"#,
            r#"{"more":{"a\u0000":1}}"#,
            r#"{"more":[[{"a":"\u0000"}]]}"#,
        ] {
            assert!(parse_untrusted::<Wish>(wrong).is_none(), "{wrong}");
        }
        assert!(parse_untrusted::<Wish>(r#"{"more":"\\u0000"}"#).is_some());
    }

    proptest::proptest! {
        #[test]
        fn reads_every_object_without_repeated_keys(keys in proptest::collection::btree_set("[^\0]{0,6}", 0..6), text in "[^\0]{0,12}") {
            let map: Map<_, _> = keys.into_iter().map(|key| (key, Value::from(text.as_str()))).collect();
            let body = json!({"more": map}).to_string();
            proptest::prop_assert_eq!(parse_untrusted::<Wish>(&body).unwrap().more, Some(Value::Object(map)));
        }
    }
}
