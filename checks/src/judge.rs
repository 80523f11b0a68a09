//! Turns the truth of a check's condition into outcomes, one for each resource.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::Condition;
use crate::entry::{Check, Entry};
use crate::evaluate::{Truth, evaluate};
use crate::lookup::Part;
use crate::outcome::{Outcome, Reason, ResourceId, Status};
use crate::severity::{Severity, SeverityOf};
use crate::template;

/// Placeholders and their values.
pub(crate) type Bound = BTreeMap<String, String>;

/// The longest text of evidence, in characters.
const LONGEST: usize = 200;

/// What the check says of one value: the answer, or an item of its list.
pub(crate) fn judge(entry: &Entry, part: &Part, bound: &Bound, value: &Value, now: i64) -> Outcome {
    let check = part.check;
    let item = match &check.item {
        Some(at) => scalar(value, at),
        None => Some(String::new()),
    };
    let mut outcome = blank(entry, check, bound);
    let id = text_of(&check.resource.id, value, bound);
    let kind = text_of(&check.resource.kind, value, bound);
    let (Some(id), Some(kind), Some(item)) = (id, kind, item) else {
        outcome.reason = Some(Reason::Absent);
        return outcome;
    };
    outcome.resource = ResourceId { kind, id };
    let name = check.resource.name.as_ref();
    outcome.resource_name = name.and_then(|name| text_of(name, value, bound));
    outcome.item = item;
    outcome.severity = severity(check, Some(value));
    (outcome.status, outcome.reason) = status(part, value, now);
    outcome.evidence = evidence(check, value);
    outcome
}

/// Whether the check applies to the value and whether it passes.
fn status(part: &Part, value: &Value, now: i64) -> (Status, Option<Reason>) {
    let check = part.check;
    let holds = |condition: Option<&Condition>, otherwise: Truth| {
        condition.map_or(otherwise, |condition| evaluate(condition, value, now))
    };
    match holds(check.filter.as_ref(), Truth::True) {
        Truth::False => return (Status::NotApplicable, Some(Reason::Off)),
        Truth::Unknown => return (Status::Unknown, Some(Reason::Absent)),
        Truth::True => {}
    }
    match holds(check.unknown.as_ref(), Truth::False) {
        Truth::True => return (Status::Unknown, Some(Reason::Unavailable)),
        Truth::Unknown => return (Status::Unknown, Some(Reason::Absent)),
        Truth::False => {}
    }
    // Without `pass` the item is a finding: `over: each`.
    match holds(part.pass, Truth::False) {
        Truth::True => (Status::Pass, None),
        Truth::False => (Status::Fail, None),
        Truth::Unknown => (Status::Unknown, Some(Reason::Absent)),
    }
}

/// The outcome where nothing could be judged.
pub(crate) fn without(
    entry: &Entry,
    check: &Check,
    bound: &Bound,
    reason: Reason,
    needs: &[String],
) -> Outcome {
    let mut outcome = blank(entry, check, bound);
    outcome.reason = Some(reason);
    match reason {
        _ if reason.is_inapplicable() => outcome.status = Status::NotApplicable,
        Reason::Forbidden | Reason::Hidden | Reason::NoScope => outcome.needs = needs.to_vec(),
        _ => {}
    }
    outcome
}

/// The outcome of a check that a person must look at.
pub(crate) fn manual(entry: &Entry, check: &Check, bound: &Bound) -> Outcome {
    let mut outcome = blank(entry, check, bound);
    outcome.status = Status::Manual;
    outcome
}

/// The outcome where the provider was asked for findings and has none.
pub(crate) fn passed(entry: &Entry, check: &Check, bound: &Bound) -> Outcome {
    let mut outcome = blank(entry, check, bound);
    outcome.status = Status::Pass;
    outcome
}

/// What two reads say of one resource, either of which is enough to pass.
pub(crate) fn either(one: Outcome, other: Outcome) -> Outcome {
    let rank = |outcome: &Outcome| match outcome.status {
        Status::Pass => 3,
        Status::Unknown | Status::Manual => 2,
        // Where the plan does not have one of the two, the other alone is no failure.
        Status::NotApplicable => 1,
        Status::Fail => 0,
    };
    let (mut whole, less) = if rank(&other) > rank(&one) {
        (other, one)
    } else {
        (one, other)
    };
    if whole.status == less.status {
        whole.evidence.extend(less.evidence);
        whole.needs.extend(less.needs);
        whole.needs.sort();
        whole.needs.dedup();
    }
    whole
}

/// How many items of a list were told of, meet `pass`, or are not known to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Outcomes of items.
    #[serde(default)]
    pub(crate) told: u64,
    met: u64,
    unknown: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, part: &Part, item: &Value, now: i64) {
        match status(part, item, now).0 {
            Status::Pass => self.met += 1,
            Status::Unknown => self.unknown += 1,
            _ => {}
        }
    }

    /// The verdict over a list of which this much was seen.
    pub(crate) fn outcome(
        self,
        entry: &Entry,
        part: &Part,
        bound: &Bound,
        cut: Option<Reason>,
    ) -> Outcome {
        let mut outcome = blank(entry, part.check, bound);
        let most = if cut.is_some() {
            u64::MAX
        } else {
            self.met + self.unknown
        };
        let count = part.count;
        let at_least = count.and_then(|count| count.at_least).unwrap_or(0);
        let at_most = count.and_then(|count| count.at_most).unwrap_or(u64::MAX);
        outcome.evidence.insert("count".to_owned(), self.met.into());
        if self.met > at_most || most < at_least {
            outcome.status = Status::Fail;
        } else if self.met >= at_least && (most <= at_most || at_most == u64::MAX) {
            outcome.status = Status::Pass;
        } else {
            outcome.reason = Some(cut.unwrap_or(Reason::Absent));
        }
        outcome
    }
}

/// Unknown, about what the check's own templates or else the account name.
fn blank(entry: &Entry, check: &Check, bound: &Bound) -> Outcome {
    let template = |text: &str| {
        let literal = !text.starts_with('/');
        literal.then(|| template::fill(text, bound)).flatten()
    };
    let named = template(&check.resource.id).zip(template(&check.resource.kind));
    let (id, kind) = named.unwrap_or_else(|| parent(entry, check, bound));
    Outcome {
        check_id: check.id.clone(),
        check_version: check.version,
        resource: ResourceId { kind, id },
        resource_name: check.resource.name.as_deref().and_then(template),
        item: String::new(),
        status: Status::Unknown,
        reason: None,
        needs: Vec::new(),
        severity: severity(check, None),
        evidence: BTreeMap::new(),
    }
}

/// What a list belongs to: the item that its read is asked for, else the account.
fn parent(entry: &Entry, check: &Check, bound: &Bound) -> (String, String) {
    let read = check.read.as_ref().and_then(|name| entry.reads.get(name));
    let each = read.and_then(|read| read.for_each.as_ref());
    // The rules want an `id` where there are several placeholders.
    let id = each.and_then(|each| {
        let name = each.id.as_ref().or_else(|| each.bind.keys().next())?;
        Some((each, bound.get(name)?))
    });
    match id {
        Some((each, id)) => (id.clone(), each.read.clone()),
        None => (
            template::fill(&entry.account, bound).unwrap_or_default(),
            "account".to_owned(),
        ),
    }
}

fn severity(check: &Check, value: Option<&Value>) -> Severity {
    match &check.severity {
        SeverityOf::Fixed(severity) => *severity,
        SeverityOf::Map(map) => value
            .and_then(|value| value.pointer(&map.at)?.as_str())
            .and_then(|text| map.map.get(text).copied())
            .or_else(|| map.map.values().max().copied())
            .unwrap_or(Severity::High),
    }
}

fn evidence(check: &Check, value: &Value) -> BTreeMap<String, Value> {
    let found = check.evidence.iter().filter_map(|at| {
        let scalar = match value.pointer(at)? {
            Value::String(text) => kept(text, LONGEST).into(),
            Value::Array(_) | Value::Object(_) => return None,
            other => other.clone(),
        };
        Some((at.clone(), scalar))
    });
    found.collect()
}

fn text_of(text: &str, value: &Value, bound: &Bound) -> Option<String> {
    if text.starts_with('/') {
        scalar(value, text)
    } else {
        template::fill(text, bound)
    }
}

/// A text that is not empty, or a number, as text.
pub(crate) fn scalar(value: &Value, at: &str) -> Option<String> {
    match value.pointer(at)? {
        Value::String(text) => Some(kept(text, 300)).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A provider's text as it is kept: at most so many characters, without NUL, which a PostgreSQL text cannot hold.
fn kept(text: &str, most: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_text_is_kept_without_nul_and_within_its_bound() {
        let value = json!({"id": "a\0b", "nothing": "\0\0", "long": "é".repeat(400)});
        assert_eq!(scalar(&value, "/id").as_deref(), Some("ab"));
        assert_eq!(scalar(&value, "/nothing"), None);
        assert_eq!(scalar(&value, "/long"), Some("é".repeat(300)));
    }
}
