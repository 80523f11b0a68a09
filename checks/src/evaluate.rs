//! Judging a value by a condition, with three values (Kleene's): what is not there is unknown, whatever is asked of it.

use std::ops::Not;

use chrono::DateTime;
use serde_json::Value;

use crate::condition::{Condition, Quantity, Test};

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
            .and_then(|found| judge(test, found, now))
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

fn elements(value: &Value, at: &str, split: Option<&str>) -> Option<Vec<Value>> {
    match (value.pointer(at)?, split) {
        (Value::Array(list), None) => Some(list.clone()),
        (Value::String(text), Some(split)) => Some(
            text.split(split)
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(Value::from)
                .collect(),
        ),
        _ => None,
    }
}

/// None where the test cannot judge a value of this type.
fn judge(test: &Test, found: &Value, now: i64) -> Option<bool> {
    match test {
        Test::Equals(wanted) => same(wanted, found),
        Test::NotEquals(wanted) => same(wanted, found).map(bool::not),
        Test::OneOf(wanted) => {
            let known: Vec<bool> = wanted.iter().filter_map(|one| same(one, found)).collect();
            // Only null was comparable: that says nothing about what the others have in mind.
            let typed = wanted.iter().any(|one| kind(one) == kind(found));
            typed.then(|| known.contains(&true))
        }
        Test::AtLeast(bound) => Some(found.as_f64()? >= *bound),
        Test::AtMost(bound) => Some(found.as_f64()? <= *bound),
        Test::IsEmpty(wanted) => Some(length(found)? == 0).map(|empty| empty == *wanted),
        Test::Contains(wanted) => match found {
            Value::Array(list) => contains(list, wanted),
            Value::String(text) => Some(text.contains(wanted.as_str()?)),
            _ => None,
        },
        Test::StartsWith(texts) => {
            let found = found.as_str()?;
            Some(texts.iter().any(|text| found.starts_with(text)))
        }
        Test::EndsWith(texts) => {
            let found = found.as_str()?;
            Some(texts.iter().any(|text| found.ends_with(text)))
        }
        Test::HostIs(hosts) => {
            let host = host(found.as_str()?)?;
            Some(hosts.iter().any(|one| host.eq_ignore_ascii_case(one)))
        }
        Test::HostContains(part) => Some(host(found.as_str()?)?.contains(part)),
        Test::CidrOpen(wanted) => Some(cidr_is_open(found.as_str()?)? == *wanted),
        Test::OlderThan(days) => Some(age_in_days(found, now)? > *days),
        Test::YoungerThan(days) => Some(age_in_days(found, now)? < *days),
        Test::CountAtMost(most) => Some(found.as_array()?.len() <= *most),
    }
}

/// An array holds the value. It does not only if each element can be compared with it.
fn contains(list: &[Value], wanted: &Value) -> Option<bool> {
    let each: Vec<_> = list.iter().map(|one| same(wanted, one)).collect();
    if each.contains(&Some(true)) {
        return Some(true);
    }
    each.iter().all(Option::is_some).then_some(false)
}

/// Null can be compared with anything where null is asked for; else a null is a value that is not there.
fn same(wanted: &Value, found: &Value) -> Option<bool> {
    match (wanted, found) {
        (Value::Null, found) => Some(found.is_null()),
        (Value::Number(wanted), Value::Number(found)) => Some(wanted.as_f64()? == found.as_f64()?),
        (wanted, found) => (kind(wanted) == kind(found)).then(|| wanted == found),
    }
}

fn kind(value: &Value) -> std::mem::Discriminant<Value> {
    std::mem::discriminant(value)
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.len()),
        Value::Array(list) => Some(list.len()),
        Value::Object(members) => Some(members.len()),
        _ => None,
    }
}

/// The host as it is written, patterns included, in lower case: what a URL parser refuses has a host for whoever matches by pattern.
fn host(address: &str) -> Option<String> {
    let (_, rest) = address.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => host.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

fn cidr_is_open(range: &str) -> Option<bool> {
    let (address, bits) = range.split_once('/').unwrap_or((range, "128"));
    address.parse::<std::net::IpAddr>().ok()?;
    Some(bits.parse::<u8>().ok()? == 0)
}

fn age_in_days(date: &Value, now: i64) -> Option<f64> {
    let seconds = match date {
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok()?.timestamp() as f64,
        Value::Number(number) => {
            let number = number.as_f64()?;
            if number >= 1e11 {
                number / 1000.0
            } else {
                number
            }
        }
        _ => return None,
    };
    Some((now as f64 - seconds) / 86_400.0)
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
