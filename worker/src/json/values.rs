//! What is read of single values, lists and maps.

use super::{Field, Read, Shape};
use crate::ids::{
    EndpointId, EventId, IntegrationId, OrganizationId, RevocationId, TransactionId, UserId,
};
use chrono::{DateTime, Utc};
use sealed::Secret;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

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
    i64, 0, Value::Number(number) => number.as_i64();
    u64, 0, Value::Number(number) => number.as_u64();
    usize, 0, Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok());
    u32, 0, Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok());
    u16, 0, Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok());
    String, Self::new(), Value::String(text) => Some(text);
    Secret, String::new().into(), Value::String(text) => Some(text.into());
    Uuid, Self::nil(), Value::String(text) => Self::try_parse(&text).ok();
    DateTime<Utc>, Self::UNIX_EPOCH, Value::String(text) => {
        DateTime::parse_from_rfc3339(&text).ok().map(|moment| moment.to_utc())
    };
    Map<String, Value>, Self::new(), Value::Object(map) => Some(map);
}

/// Any JSON.
impl Read for Value {
    fn read(value: Value) -> Shape<Self> {
        Ok(value)
    }
}

impl Field for Value {
    fn blank() -> Self {
        Self::Null
    }
}

macro_rules! ids {
    ($($name:ident),*) => {
        $(impl Read for $name {
            fn read(value: Value) -> Shape<Self> {
                Uuid::read(value).map(Self)
            }
        }

        impl Field for $name {
            fn blank() -> Self {
                Self(Uuid::nil())
            }
        })*
    };
}

ids!(
    EndpointId,
    EventId,
    IntegrationId,
    OrganizationId,
    RevocationId,
    TransactionId,
    UserId
);

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

/// What an object holds by id. A list, of which there are few: a map of each type would be 7 KB of code.
#[derive(Debug, PartialEq, Eq)]
pub struct ById<T>(Vec<(Uuid, T)>);

impl<T> ById<T> {
    /// What it holds under an id.
    pub fn get(&self, id: Uuid) -> Option<&T> {
        let found = self.0.iter().find(|(known, _)| *known == id);
        found.map(|(_, value)| value)
    }

    /// The same, without the rest.
    pub fn take(self, id: Uuid) -> Option<T> {
        let found = self.0.into_iter().find(|(known, _)| *known == id);
        found.map(|(_, value)| value)
    }
}

impl<T: Read> Read for ById<T> {
    fn read(value: Value) -> Shape<Self> {
        let mut list = Vec::new();
        for (id, value) in Map::read(value)? {
            list.push((Uuid::read(Value::String(id))?, T::read(value)?));
        }
        Ok(Self(list))
    }
}

impl<T: Read> Field for ById<T> {
    fn blank() -> Self {
        Self(Vec::new())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use serde_json::json;

    #[test]
    fn ids_and_moments_are_parsed_where_they_are_read() {
        const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(
            IntegrationId::read(json!(ID)).unwrap().to_string(),
            ID.to_owned()
        );
        assert!(IntegrationId::read(json!("x")).is_err());
        let ends: ById<bool> = parse(&format!(r#"{{"{ID}":true}}"#)).unwrap();
        let id: Uuid = ID.parse().unwrap();
        assert_eq!((ends.get(id), ends.get(Uuid::nil())), (Some(&true), None));
        assert_eq!(ends.take(id), Some(true));
        assert!(parse::<ById<bool>>(r#"{"x":true}"#).is_none());
        // As PostgreSQL writes a timestamptz into JSON.
        let moment = DateTime::<Utc>::read(json!("2026-01-01T00:00:00.123456+00:00")).unwrap();
        assert_eq!(moment.timestamp_subsec_micros(), 123_456);
        assert!(DateTime::<Utc>::read(json!("2026-01-01")).is_err());
    }
}
