//! The content of an export, which is the same in every format.

use serde_json::Value;

use crate::entry::{Check, Entry};
use crate::outcome::{Outcome, Reason, Status, hex};
use crate::report::Coverage;

/// What is exported of one account.
#[derive(Debug, Clone)]
pub struct Export<'a> {
    /// The checks.
    pub entry: &'a Entry,
    /// The integration's id, where there is one.
    pub integration: Option<&'a str>,
    /// The provider's id of the account.
    pub account: &'a str,
    /// The results.
    pub rows: Vec<Row<'a>>,
    /// What each check saw.
    pub coverage: &'a [Coverage],
    /// When the scan ended, in Unix seconds.
    pub time: i64,
    /// Why it ended before its end.
    pub ended: Option<Reason>,
    /// The version of this program.
    pub version: &'a str,
}

/// One result.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// What a check says of one resource.
    pub outcome: &'a Outcome,
    /// How many resources it stands for: more than one where only their number is known.
    pub count: u64,
    /// Since when no scan could look: it failed when it was last seen.
    pub unverified_since: Option<&'a str>,
    /// The note of the mute that holds for it.
    pub mute: Option<&'a str>,
}

impl<'a> From<&'a Outcome> for Row<'a> {
    /// A result that a scan has just seen.
    fn from(outcome: &'a Outcome) -> Self {
        Self {
            outcome,
            count: 1,
            unverified_since: None,
            mute: None,
        }
    }
}

impl Export<'_> {
    /// The results, each with its check. A result of a check that is not in the entry has none, and is left out.
    pub(super) fn results(&self) -> impl Iterator<Item = (&Check, Row<'_>)> {
        self.rows.iter().filter_map(|row| {
            let mut checks = self.entry.checks.iter();
            let check = checks.find(|check| check.id == row.outcome.check_id)?;
            Some((check, *row))
        })
    }

    pub(super) fn fingerprint(&self, outcome: &Outcome) -> String {
        hex(&outcome.fingerprint(&self.entry.kind, self.account))
    }
}

/// One sentence about a result, for people.
pub(super) fn message(check: &Check, outcome: &Outcome) -> String {
    let resource = match &outcome.resource_name {
        Some(name) => format!("{} {name}", outcome.resource.kind),
        None => format!("{} {}", outcome.resource.kind, outcome.resource.id),
    };
    let reason = word(&outcome.reason);
    match outcome.status {
        Status::Pass => format!("{resource}: {}.", check.title),
        Status::Fail => format!("{resource} fails: {}. {}", check.title, check.why),
        Status::NotApplicable => format!("{resource}: does not apply ({reason}). {}", check.title),
        Status::Manual => format!("{resource}: a person must look. {}", check.title),
        Status::Unknown if outcome.needs.is_empty() => {
            format!("{resource}: could not be seen ({reason}). {}", check.title)
        }
        Status::Unknown => {
            let needs = outcome.needs.join(", ");
            format!(
                "{resource}: could not be seen ({reason}; needs {needs}). {}",
                check.title
            )
        }
    }
}

/// The word that JSON has for a value; empty for null.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
