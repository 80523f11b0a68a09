//! The conditions of an entry: a test of the value at a JSON Pointer, and how tests are combined.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A condition, as an entry writes it.
///
/// Exactly one of `all`, `any`, `not`, `every`, `some`, `none` and `at`. `at` takes exactly one test beside it. The lists
/// `every`, `some` and `none` name a pointer to an array (or, with `split`, to a string that is split there), and `is` is
/// the condition on each element.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub enum Condition {
    /// True if all are.
    All(Vec<Condition>),
    /// True if one is.
    Any(Vec<Condition>),
    /// The opposite; unknown stays unknown.
    Not(Box<Condition>),
    /// On the elements of a list.
    List {
        /// How many of them must be.
        quantity: Quantity,
        /// Where the list is: a JSON Pointer.
        at: String,
        /// What separates the elements of a string; none if the value is an array.
        split: Option<String>,
        /// The condition on an element.
        is: Box<Condition>,
    },
    /// On one value.
    At(String, Test),
}

/// How many elements of a list a condition must hold for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// All of them; an empty list is true.
    Every,
    /// At least one.
    Some,
    /// Not one.
    None,
}

/// A test of one value. A value of the wrong type is unknown, never false: nothing is known of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// The value is this scalar.
    Equals(Value),
    /// The value is another scalar of the same type, or, if this is null, is not null.
    NotEquals(Value),
    /// The value is one of these.
    OneOf(Vec<Value>),
    /// A number, at least this.
    AtLeast(f64),
    /// A number, at most this.
    AtMost(f64),
    /// A string, array or object is empty, or is not.
    IsEmpty(bool),
    /// An array holds this value, or a string this text.
    Contains(Value),
    /// A string starts with one of these.
    StartsWith(Vec<String>),
    /// A string ends with one of these.
    EndsWith(Vec<String>),
    /// A URL's host is one of these.
    HostIs(Vec<String>),
    /// A URL's host contains this text; a pattern such as `https://*.example.com` has a host, too.
    HostContains(String),
    /// An address range lets everybody in (`0.0.0.0/0`, `::/0`), or does not.
    CidrOpen(bool),
    /// A date is more than this many days ago. RFC 3339, or Unix seconds or, from 10^11 on, milliseconds.
    OlderThan(f64),
    /// A date is less than this many days ago.
    YoungerThan(f64),
    /// An array has at most this many elements.
    CountAtMost(usize),
}

/// The shape of a condition in JSON, before its words are counted.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    all: Option<Vec<Condition>>,
    any: Option<Vec<Condition>>,
    not: Option<Box<Condition>>,
    every: Option<String>,
    some: Option<String>,
    none: Option<String>,
    split: Option<String>,
    is: Option<Box<Condition>>,
    at: Option<String>,
    #[serde(deserialize_with = "present")]
    equals: Option<Value>,
    #[serde(deserialize_with = "present")]
    not_equals: Option<Value>,
    one_of: Option<Vec<Value>>,
    at_least: Option<f64>,
    at_most: Option<f64>,
    is_empty: Option<bool>,
    contains: Option<Value>,
    starts_with: Option<OneOrMore>,
    ends_with: Option<OneOrMore>,
    host_is: Option<OneOrMore>,
    host_contains: Option<String>,
    cidr_open: Option<bool>,
    older_than: Option<f64>,
    younger_than: Option<f64>,
    count_at_most: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

/// An `Option` whose null is a value: `"equals": null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl TryFrom<Written> for Condition {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let tests: Vec<Test> = [
            written.equals.map(Test::Equals),
            written.not_equals.map(Test::NotEquals),
            written.one_of.map(Test::OneOf),
            written.at_least.map(Test::AtLeast),
            written.at_most.map(Test::AtMost),
            written.is_empty.map(Test::IsEmpty),
            written.contains.map(Test::Contains),
            written.starts_with.map(|w| Test::StartsWith(w.list())),
            written.ends_with.map(|w| Test::EndsWith(w.list())),
            written.host_is.map(|w| Test::HostIs(w.list())),
            written.host_contains.map(Test::HostContains),
            written.cidr_open.map(Test::CidrOpen),
            written.older_than.map(Test::OlderThan),
            written.younger_than.map(Test::YoungerThan),
            written.count_at_most.map(Test::CountAtMost),
        ]
        .into_iter()
        .flatten()
        .collect();
        let lists: Vec<(Quantity, String)> = [
            written.every.map(|at| (Quantity::Every, at)),
            written.some.map(|at| (Quantity::Some, at)),
            written.none.map(|at| (Quantity::None, at)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let (split, is) = (written.split, written.is);
        let list_words = split.is_some() || is.is_some();
        let mut found = Vec::new();
        let mut tests_used = false;
        let mut list_used = false;
        if let Some(all) = written.all {
            found.push(Self::All(all));
        }
        if let Some(any) = written.any {
            found.push(Self::Any(any));
        }
        if let Some(not) = written.not {
            found.push(Self::Not(not));
        }
        if let Some(at) = written.at {
            let [test] = <[Test; 1]>::try_from(tests.clone())
                .map_err(|_| format!("`at` {at:?} takes exactly one test"))?;
            tests_used = true;
            found.push(Self::At(at, test));
        }
        if let Some(is) = is {
            let [(quantity, at)] = <[(Quantity, String); 1]>::try_from(lists.clone())
                .map_err(|_| "`is` takes exactly one of every, some, none".to_owned())?;
            list_used = true;
            found.push(Self::List {
                quantity,
                at,
                split,
                is,
            });
        }
        if (!tests.is_empty() && !tests_used) || ((list_words || !lists.is_empty()) && !list_used) {
            return Err("a test without `at`, or a list without `is`".to_owned());
        }
        let [condition] = <[Self; 1]>::try_from(found).map_err(|_| {
            "a condition is exactly one of all, any, not, every, some, none, at".to_owned()
        })?;
        Ok(condition)
    }
}
