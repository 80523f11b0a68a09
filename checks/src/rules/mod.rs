//! The rules for an entry, beyond its shape. The build checks every entry and fails if one breaks a rule.

mod check;
mod conditions;
mod need;
mod read;

use std::collections::BTreeSet;

use conditions::{condition, pointer, specials};
use need::{https, need};

use crate::entry::{Entry, Read};
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

    /// No name without a use: a read that nobody judges, a setting that no URL has.
    fn all_used(&self) -> Result<(), String> {
        let entry = self.entry;
        for name in entry.reads.keys() {
            let used = entry.checks.iter().any(|check| {
                let other = check.alternative.as_ref().map(|other| &other.read);
                check.read.as_ref() == Some(name) || other == Some(name)
            }) || entry.gate.iter().any(|gate| gate.read == *name)
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
