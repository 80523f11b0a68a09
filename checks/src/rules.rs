//! What an entry must keep to, beside its shape. The build runs it over every entry, and fails.

use std::collections::BTreeSet;

use crate::condition::{Condition, Test};
use crate::entry::{Check, Entry, Over, Read, SeverityOf, Special, State};
use crate::template;

/// Reads an entry and checks it.
///
/// # Errors
///
/// What is wrong with it, naming the read or the check.
pub fn parse(text: &str, is_sensitive: fn(&str) -> bool) -> Result<Entry, String> {
    let entry: Entry = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let rules = Rules {
        entry: &entry,
        is_sensitive,
    };
    rules.head()?;
    for (name, read) in &entry.reads {
        rules
            .read(read)
            .map_err(|fault| format!("read {name}: {fault}"))?;
    }
    let mut ids = BTreeSet::new();
    for check in &entry.checks {
        rules
            .check(check)
            .map_err(|fault| format!("check {}: {fault}", check.id))?;
        for id in check.was.iter().chain([&check.id]) {
            need(ids.insert(id), || format!("check {id} is there twice"))?;
        }
    }
    rules.all_used()?;
    Ok(entry)
}

/// Names that are no secret's in spite of their last word: the identity of a finding at Supabase's advisor.
const NO_SECRETS: [&str; 1] = ["cache_key"];

struct Rules<'a> {
    entry: &'a Entry,
    is_sensitive: fn(&str) -> bool,
}

impl Rules<'_> {
    fn head(&self) -> Result<(), String> {
        let entry = self.entry;
        need(!entry.hosts.is_empty() && !entry.checks.is_empty(), || {
            "an entry needs hosts and checks".to_owned()
        })?;
        https(&entry.docs)?;
        self.placeholders(&entry.account, &entry.settings)?;
        for setting in &entry.settings {
            self.open_name(setting)?;
        }
        for name in entry.headers.keys() {
            let name = name.to_ascii_lowercase();
            need(
                !["authorization", "cookie", "host"].contains(&name.as_str()),
                || format!("the header {name} is not an entry's to set"),
            )?;
        }
        specials(&entry.answers)?;
        if let Some(gate) = &entry.gate {
            let read = self.named(&gate.read)?;
            condition(&gate.closed)?;
            need(read.items.is_none() && read.for_each.is_none(), || {
                "the gate's read is one answer".to_owned()
            })?;
        }
        Ok(())
    }

    fn read(&self, read: &Read) -> Result<(), String> {
        let known = self.bound(read)?;
        self.placeholders(&read.url, &known)?;
        let mut sample = read.url.clone();
        for name in template::names(&read.url)? {
            sample = sample.replace(&format!("{{{name}}}"), "x");
        }
        need(template::is_allowed(&sample, &self.entry.hosts), || {
            format!("{} is not https at a host of the entry", read.url)
        })?;
        need(
            sample
                .find("://")
                .is_some_and(|at| sample[at + 3..].contains('/')),
            || format!("{} has no path", read.url),
        )?;
        need(
            read.body.is_none() || read.method == crate::entry::Method::Post,
            || "a GET has no body".to_owned(),
        )?;
        need(read.pages.is_none() || read.items.is_some(), || {
            "pages without items".to_owned()
        })?;
        for at in read.items.iter() {
            pointer(at)?;
        }
        if let Some(each) = &read.for_each {
            for at in each.bind.values() {
                self.open_pointer(at)?;
            }
            each.filter.as_ref().map_or(Ok(()), condition)?;
        }
        if let Some(name) = &read.fallback {
            let other = self.named(name)?;
            need(
                other.for_each.is_none() && other.items.is_some() == read.items.is_some(),
                || format!("{name} does not have the shape of what it replaces"),
            )?;
            need(self.placeholders(&other.url, &known).is_ok(), || {
                format!("{name} needs other placeholders")
            })?;
        }
        specials(&read.answers)
    }

    /// The placeholders that a read's URL may name: the settings, and what its parents bind.
    fn bound(&self, read: &Read) -> Result<Vec<String>, String> {
        let mut known = self.entry.settings.clone();
        let mut parent = read.for_each.as_ref();
        for _ in 0..=self.entry.reads.len() {
            let Some(each) = parent else {
                return Ok(known);
            };
            for name in each.bind.keys() {
                self.open_name(name)?;
                need(!known.contains(name), || {
                    format!("{{{name}}} is bound twice")
                })?;
                known.push(name.clone());
            }
            parent = self.named(&each.read)?.for_each.as_ref();
        }
        Err("for_each goes round in a circle".to_owned())
    }

    fn check(&self, check: &Check) -> Result<(), String> {
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
        self.pointers(check, read)
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

    /// No name without a use: a read that nobody judges, a setting that no URL has.
    fn all_used(&self) -> Result<(), String> {
        let entry = self.entry;
        for name in entry.reads.keys() {
            let used = entry
                .checks
                .iter()
                .any(|check| check.read.as_ref() == Some(name))
                || entry.gate.iter().any(|gate| gate.read == *name)
                || entry.reads.values().any(|read| {
                    read.fallback.as_ref() == Some(name)
                        || read.for_each.iter().any(|each| each.read == *name)
                });
            need(used, || format!("read {name} is used by nothing"))?;
        }
        let used = |name: &String| {
            let braces = format!("{{{name}}}");
            let texts = entry
                .checks
                .iter()
                .flat_map(|check| [&check.resource.id].into_iter().chain(&check.resource.name));
            entry.reads.values().any(|read| read.url.contains(&braces))
                || entry.account.contains(&braces)
                || texts.into_iter().any(|text| text.contains(&braces))
        };
        let bound = entry.reads.values().flat_map(|read| &read.for_each);
        let bound = bound.flat_map(|each| each.bind.keys());
        match entry.settings.iter().chain(bound).find(|name| !used(name)) {
            Some(name) => Err(format!("{{{name}}} is used by nothing")),
            None => Ok(()),
        }
    }

    fn named(&self, name: &str) -> Result<&Read, String> {
        self.entry
            .reads
            .get(name)
            .ok_or_else(|| format!("there is no read {name}"))
    }

    fn placeholders(&self, text: &str, known: &[String]) -> Result<(), String> {
        for name in template::names(text)? {
            need(known.iter().any(|known| known == name), || {
                format!("{{{name}}} is no setting and bound by no for_each")
            })?;
        }
        Ok(())
    }

    /// A pointer whose value may be kept: none of its names is a secret's.
    fn open_pointer(&self, at: &str) -> Result<(), String> {
        pointer(at)?;
        at.split('/')
            .skip(1)
            .try_for_each(|name| self.open_name(name))
    }

    fn open_name(&self, name: &str) -> Result<(), String> {
        need(
            NO_SECRETS.contains(&name) || !(self.is_sensitive)(name),
            || format!("{name} is the name of a secret, and may not be kept"),
        )
    }
}

fn specials(specials: &[Special]) -> Result<(), String> {
    for special in specials {
        need(
            special.means.is_some() != special.stands_for.is_some(),
            || format!("the answer {} needs either `means` or `as`", special.status),
        )?;
        // An error that any hidden thing has, too, would be read as a fact.
        need(
            special.stands_for.is_none() || special.when.is_some() || special.status < 300,
            || {
                format!(
                    "the answer {} stands for JSON, but has no `when`",
                    special.status
                )
            },
        )?;
        special.when.as_ref().map_or(Ok(()), condition)?;
    }
    Ok(())
}

fn condition(found: &Condition) -> Result<(), String> {
    match found {
        Condition::All(all) | Condition::Any(all) => {
            need(!all.is_empty(), || "an empty all or any".to_owned())?;
            all.iter().try_for_each(condition)
        }
        Condition::Not(not) => condition(not),
        Condition::List { at, split, is, .. } => {
            pointer(at)?;
            need(split.as_ref().is_none_or(|split| !split.is_empty()), || {
                "an empty split".to_owned()
            })?;
            condition(is)
        }
        Condition::At(at, test) => {
            pointer(at)?;
            let scalar = |value: &serde_json::Value| !value.is_array() && !value.is_object();
            need(
                match test {
                    Test::Equals(value) | Test::NotEquals(value) | Test::Contains(value) => {
                        scalar(value)
                    }
                    Test::OneOf(values) => !values.is_empty() && values.iter().all(scalar),
                    Test::StartsWith(texts) | Test::EndsWith(texts) | Test::HostIs(texts) => {
                        texts.iter().all(|text| !text.is_empty()) && !texts.is_empty()
                    }
                    _ => true,
                },
                || format!("the test at {at:?} compares with no scalar"),
            )
        }
    }
}

fn pointer(at: &str) -> Result<(), String> {
    need(at.is_empty() || at.starts_with('/'), || {
        format!("{at:?} is no JSON Pointer")
    })
}

fn https(address: &str) -> Result<(), String> {
    need(address.starts_with("https://"), || {
        format!("{address} is not https")
    })
}

fn need(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}
