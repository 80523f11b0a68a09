//! One test of one value.

use std::ops::Not;

use chrono::DateTime;
use serde_json::Value;

use crate::condition::Test;

/// Whether the value found meets the test at `now`, in Unix seconds. None where the test cannot judge a value of this type.
pub(crate) fn compare(test: &Test, found: &Value, now: i64) -> Option<bool> {
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
