//! The rules for a check.

use super::Rules;
use super::conditions::{condition, has_numbers};
use super::need::{https, need};
use crate::entry::{Check, Over, Read, State};
use crate::severity::SeverityOf;

impl Rules<'_> {
    pub(super) fn check(&self, check: &Check) -> Result<(), String> {
        let prefix = format!("{}_", self.entry.kind);
        need(check.id.starts_with(&prefix), || {
            format!("the id starts with {prefix}")
        })?;
        need(check.version > 0, || "the version starts at 1".to_owned())?;
        for (what, text) in [
            ("title", &check.title),
            ("why", &check.why),
            ("remediation", &check.remediation.text),
        ] {
            need(text.trim().len() >= 10, || format!("no {what}"))?;
        }
        check.remediation.url.as_deref().map_or(Ok(()), https)?;
        let Some(name) = &check.read else {
            let judged =
                check.pass.is_some() || check.filter.is_some() || check.over != Over::Answer;
            return need(!judged, || "a manual check judges nothing".to_owned());
        };
        let read = self.named(name)?;
        need(
            check.state == State::Documented || read.source.is_some(),
            || format!("verified, but the read {name} has no source"),
        )?;
        let listed = read.items.is_some();
        need((check.over == Over::Answer) != listed, || {
            "`over` does not fit the read's items".to_owned()
        })?;
        need(check.pass.is_some() != (check.over == Over::Each), || {
            "needs `pass`, unless each item is a finding".to_owned()
        })?;
        need(
            check.count.is_some() == (check.over == Over::Listing),
            || "`count` and `over: listing` go together".to_owned(),
        )?;
        if let Some(count) = check.count {
            need(count.at_least.is_some() || count.at_most.is_some(), || {
                "`count` has no bound".to_owned()
            })?;
        }
        let conditions = [&check.filter, &check.unknown, &check.pass];
        conditions.into_iter().flatten().try_for_each(condition)?;
        let has_numbers = conditions.into_iter().flatten().any(has_numbers)
            || check.count.is_some_and(|count| {
                [count.at_least, count.at_most]
                    .iter()
                    .flatten()
                    .any(|bound| *bound > 1)
            });
        need(!has_numbers || check.basis.is_some(), || {
            "its conditions have numbers, and no `basis` says where they come from".to_owned()
        })?;
        self.pointers(check, read)?;
        self.alternative(check, read)?;
        self.supersedes(check, read)
    }

    fn pointers(&self, check: &Check, read: &Read) -> Result<(), String> {
        let known = self.bound(read)?;
        let resource = &check.resource;
        for text in [&resource.kind, &resource.id]
            .into_iter()
            .chain(&resource.name)
        {
            if text.starts_with('/') {
                need(check.over != Over::Listing, || {
                    "a listing's resource is a template".to_owned()
                })?;
                self.open_pointer(text)?;
            } else {
                self.placeholders(text, &known)?;
            }
        }
        need(
            check.over != Over::Listing || check.evidence.is_empty(),
            || "a listing has no evidence but its count".to_owned(),
        )?;
        for at in check.evidence.iter().chain(&check.item) {
            self.open_pointer(at)?;
        }
        if let SeverityOf::Map(severity) = &check.severity {
            self.open_pointer(&severity.at)?;
            need(!severity.map.is_empty(), || {
                "a severity map without values".to_owned()
            })?;
        }
        Ok(())
    }

    /// The other read of a check over two is asked for the same items, and both name the resource alike.
    fn alternative(&self, check: &Check, read: &Read) -> Result<(), String> {
        let Some(other) = &check.alternative else {
            return Ok(());
        };
        condition(&other.pass)?;
        let second = self.named(&other.read)?;
        need(check.over == Over::Answer && second.items.is_some(), || {
            "`or` adds a list to an answer".to_owned()
        })?;
        need(read.for_each == second.for_each, || {
            format!("{} is asked for other items", other.read)
        })?;
        let resource = &check.resource;
        let named = [&resource.id, &resource.kind];
        need(named.iter().all(|text| !text.starts_with('/')), || {
            "the resource of a check over two reads is a template".to_owned()
        })?;
        need(
            other.count.at_least.is_some() || other.count.at_most.is_some(),
            || "`count` has no bound".to_owned(),
        )
    }

    /// A check that stands in for a provider's finding is asked before, once.
    fn supersedes(&self, check: &Check, read: &Read) -> Result<(), String> {
        let once = check.over == Over::Answer && read.for_each.is_none();
        need(
            check.supersedes.is_empty() || (once && check.alternative.is_none()),
            || "only a check of one answer supersedes".to_owned(),
        )?;
        for superseded in &check.supersedes {
            let each = superseded.split_once(':').and_then(|(id, _)| {
                self.entry
                    .checks
                    .iter()
                    .find(|check| check.id == id && check.over == Over::Each)
            });
            need(each.is_some_and(|each| each.item.is_some()), || {
                format!("{superseded} is no item of an `over: each` check")
            })?;
        }
        Ok(())
    }
}
