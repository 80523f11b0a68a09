//! Finds the checks of a read, and the reads that follow it, in an entry.

use std::collections::BTreeSet;

use crate::condition::{Condition, Test};
use crate::entry::{Check, Count, Entry, Over};

/// What a check says of one read: its own, or its alternative.
pub(crate) struct Part<'a> {
    pub(crate) check: &'a Check,
    pub(crate) over: Over,
    pub(crate) pass: Option<&'a Condition>,
    pub(crate) count: Option<Count>,
}

impl Entry {
    /// What is judged of the answers of a read.
    pub(crate) fn parts(&self, read: &str) -> Vec<Part<'_>> {
        let part = |check| part_of(check, read);
        self.checks.iter().filter_map(part).collect()
    }

    /// The reads that are asked for each item of this one.
    pub(crate) fn children(&self, read: &str) -> Vec<&str> {
        let is_child = |name: &&String| {
            let each = self.reads[*name].for_each.as_ref();
            each.is_some_and(|each| each.read == read)
        };
        self.reads
            .keys()
            .filter(is_child)
            .map(String::as_str)
            .collect()
    }

    /// The reads that are asked for its items, for theirs, and so on.
    pub(crate) fn below(&self, read: &str) -> Vec<&str> {
        let mut below = self.children(read);
        let mut at = 0;
        while let Some(name) = below.get(at) {
            below.extend(self.children(name));
            at += 1;
        }
        below
    }

    /// The check of this id, or of which it is a former one.
    pub fn check(&self, id: &str) -> Option<&Check> {
        let mut checks = self.checks.iter();
        let now = checks.find(|check| check.id == id);
        now.or_else(|| {
            let mut checks = self.checks.iter();
            checks.find(|check| check.was.iter().any(|was| was == id))
        })
    }

    /// The scopes that a check needs: those of its reads, and of the reads whose items these are asked for.
    pub fn needs(&self, check: &Check) -> BTreeSet<&str> {
        let own = check.read.as_ref();
        let other = check.alternative.as_ref().map(|other| &other.read);
        let mut scopes = BTreeSet::new();
        for first in own.into_iter().chain(other) {
            let mut next = Some(first);
            while let Some(read) = next.and_then(|name| self.reads.get(name)) {
                scopes.extend(read.scope.iter().map(String::as_str));
                next = read.for_each.as_ref().map(|each| &each.read);
            }
        }
        scopes
    }

    /// Whether a read is only asked in another's stead.
    pub(crate) fn is_fallback(&self, read: &str) -> bool {
        self.reads
            .values()
            .any(|other| other.fallback.as_deref() == Some(read))
    }

    /// Whether items of the read's list may be left to another check.
    pub(crate) fn may_be_superseded(&self, read: &str) -> bool {
        let ids: Vec<&str> = self
            .parts(read)
            .iter()
            .map(|part| &*part.check.id)
            .collect();
        let superseded = self.checks.iter().flat_map(|check| &check.supersedes);
        superseded
            .filter_map(|name| name.split_once(':'))
            .any(|(id, _)| ids.contains(&id))
    }
}

fn part_of<'a>(check: &'a Check, read: &str) -> Option<Part<'a>> {
    if check.read.as_deref() == Some(read) {
        return Some(Part {
            check,
            over: check.over,
            pass: check.pass.as_ref(),
            count: check.count,
        });
    }
    let other = check.alternative.as_ref();
    other.filter(|other| other.read == read).map(|other| Part {
        check,
        over: Over::Listing,
        pass: Some(&other.pass),
        count: Some(other.count),
    })
}

impl Check {
    /// Whether its verdict changes as time goes by, with the same answer.
    pub fn depends_on_time(&self) -> bool {
        let conditions = [&self.filter, &self.unknown, &self.pass];
        conditions.into_iter().flatten().any(depends_on_time)
    }
}

fn depends_on_time(condition: &Condition) -> bool {
    match condition {
        Condition::All(all) | Condition::Any(all) => all.iter().any(depends_on_time),
        Condition::Not(not) => depends_on_time(not),
        Condition::List { is, .. } => depends_on_time(is),
        Condition::At(_, test) => matches!(test, Test::OlderThan(_) | Test::YoungerThan(_)),
    }
}
