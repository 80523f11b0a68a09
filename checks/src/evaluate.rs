//! Evaluates a condition over a value in Kleene's three-valued logic. A value that is absent makes every test of it unknown.

use std::{borrow::Cow, ops::Not};

use serde_json::Value;

use crate::compare::compare;
use crate::condition::{Condition, Quantity};

/// True, false, or not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// The value is absent, or of a type that the test cannot judge.
    Unknown,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// What the condition says of the value at `now`, in Unix seconds.
///
/// Less in the value never gives more in the answer: with a member taken away the answer is the same, or unknown.
pub fn evaluate(condition: &Condition, value: &Value, now: i64) -> Truth {
    match condition {
        Condition::All(all) => every(all.iter().map(|one| evaluate(one, value, now))),
        Condition::Any(any) => !every(any.iter().map(|one| !evaluate(one, value, now))),
        Condition::Not(not) => !evaluate(not, value, now),
        Condition::List {
            quantity,
            at,
            split,
            is,
        } => {
            let Some(list) = elements(value, at, split.as_deref()) else {
                return Truth::Unknown;
            };
            let each = list.iter().map(|element| evaluate(is, element, now));
            match quantity {
                Quantity::Every => every(each),
                Quantity::Some => !every(each.map(Truth::not)),
                Quantity::None => every(each.map(Truth::not)),
            }
        }
        Condition::At(at, test) => value
            .pointer(at)
            .and_then(|found| compare(test, found, now))
            .map_or(Truth::Unknown, Truth::from),
    }
}

fn every(truths: impl Iterator<Item = Truth>) -> Truth {
    let mut all = Truth::True;
    for truth in truths {
        match truth {
            Truth::False => return Truth::False,
            Truth::Unknown => all = Truth::Unknown,
            Truth::True => {}
        }
    }
    all
}

fn elements<'a>(value: &'a Value, at: &str, split: Option<&str>) -> Option<Vec<Cow<'a, Value>>> {
    match (value.pointer(at)?, split) {
        (Value::Array(list), None) => Some(list.iter().map(Cow::Borrowed).collect()),
        (Value::String(text), Some(split)) => Some(
            text.split(split)
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Cow::Owned(part.into()))
                .collect(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_795_780_800; // 2026-11-27

    fn truth(condition: Value, value: Value) -> Truth {
        evaluate(&serde_json::from_value(condition).unwrap(), &value, NOW)
    }

    #[test]
    fn absent_is_unknown_for_every_test_and_its_opposite() {
        for test in [
            json!({"equals": null}),
            json!({"not_equals": null}),
            json!({"one_of": [1]}),
            json!({"at_least": 1}),
            json!({"is_empty": true}),
            json!({"contains": "x"}),
            json!({"starts_with": "x"}),
            json!({"host_is": "x"}),
            json!({"cidr_open": false}),
            json!({"older_than": 1}),
            json!({"count_at_most": 1}),
        ] {
            let mut at = test.clone();
            at["at"] = json!("/x");
            assert_eq!(truth(at.clone(), json!({})), Truth::Unknown, "{at}");
            assert_eq!(truth(json!({"not": at}), json!({})), Truth::Unknown);
        }
    }

    #[test]
    fn a_value_of_another_type_is_unknown() {
        let unknown = |test: Value, value: Value| {
            assert_eq!(truth(test, json!({"x": value})), Truth::Unknown)
        };
        unknown(json!({"at": "/x", "equals": true}), json!(null));
        unknown(json!({"at": "/x", "not_equals": ""}), json!(null));
        unknown(json!({"at": "/x", "at_least": 8}), json!("12"));
        unknown(json!({"at": "/x", "one_of": ["a"]}), json!(null));
        unknown(json!({"at": "/x", "older_than": 1}), json!("yesterday"));
        unknown(json!({"at": "/x", "cidr_open": false}), json!("everybody"));
    }

    #[test]
    fn combines_as_kleene_does() {
        let (t, f, u) = (
            json!({"at": "/t", "equals": 1}),
            json!({"at": "/t", "equals": 2}),
            json!({"at": "/u", "equals": 1}),
        );
        let value = json!({"t": 1});
        assert_eq!(truth(json!({"any": [t, u]}), value.clone()), Truth::True);
        assert_eq!(truth(json!({"any": [f, u]}), value.clone()), Truth::Unknown);
        assert_eq!(truth(json!({"all": [t, u]}), value.clone()), Truth::Unknown);
        assert_eq!(truth(json!({"all": [f, u]}), value), Truth::False);
    }

    #[test]
    fn judges_lists_and_split_strings() {
        let hosts = json!({"none": "/x", "split": ",", "is": {"at": "", "host_contains": "*"}});
        assert_eq!(
            truth(
                hosts.clone(),
                json!({"x": "https://a.test/**, https://b.test"})
            ),
            Truth::True
        );
        assert_eq!(
            truth(
                hosts.clone(),
                json!({"x": "https://a.test,https://*.b.test/"})
            ),
            Truth::False
        );
        assert_eq!(
            truth(hosts, json!({"x": ["https://a.test"]})),
            Truth::Unknown
        );
        let open = json!({"every": "/x", "is": {"at": "", "cidr_open": false}});
        assert_eq!(truth(open.clone(), json!({"x": []})), Truth::True);
        assert_eq!(
            truth(open.clone(), json!({"x": ["10.0.0.0/8", "0.0.0.0/0"]})),
            Truth::False
        );
        assert_eq!(
            truth(open, json!({"x": ["10.0.0.0/8", "::/0"]})),
            Truth::False
        );
    }

    #[test]
    fn reads_dates_in_three_forms() {
        for date in [
            json!("2026-11-17T00:00:00Z"),
            json!(NOW - 10 * 86_400),
            json!((NOW - 10 * 86_400) * 1000),
        ] {
            assert_eq!(
                truth(json!({"at": "/x", "older_than": 9}), json!({"x": date})),
                Truth::True
            );
            assert_eq!(
                truth(json!({"at": "/x", "younger_than": 9}), json!({"x": date})),
                Truth::False
            );
        }
    }

    #[test]
    fn refuses_a_malformed_condition() {
        for bad in [
            json!({}),
            json!({"at": "/x"}),
            json!({"equals": 1}),
            json!({"at": "/x", "equals": 1, "at_least": 2}),
            json!({"every": "/x"}),
            json!({"is": {"at": "", "equals": 1}}),
            json!({"at": "/x", "equal": 1}),
            json!({"all": [], "any": []}),
            json!({"at": "/x", "equals": 1, "split": ","}),
        ] {
            assert!(
                serde_json::from_value::<Condition>(bad.clone()).is_err(),
                "{bad}"
            );
        }
    }
}
