//! The rules for a read.

use super::Rules;
use super::conditions::{condition, pointer, specials};
use super::need::need;
use crate::entry::{ForEach, Method, Read};
use crate::template;

impl Rules<'_> {
    pub(super) fn read(&self, read: &Read) -> Result<(), String> {
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
        need(read.body.is_none() || read.method == Method::Post, || {
            "a GET has no body".to_owned()
        })?;
        need(read.pages.is_none() || read.items.is_some(), || {
            "pages without items".to_owned()
        })?;
        for at in read.items.iter() {
            pointer(at)?;
        }
        if let Some(each) = &read.for_each {
            self.for_each(each)?;
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

    fn for_each(&self, each: &ForEach) -> Result<(), String> {
        for at in each.bind.values() {
            self.open_pointer(at)?;
        }
        match &each.id {
            Some(id) => need(each.bind.contains_key(id), || {
                format!("the id {id} is not bound")
            })?,
            None => need(each.bind.len() < 2, || {
                "several placeholders, and none is said to be the item's id".to_owned()
            })?,
        }
        // The reads below one item are planned together, with all that any of them binds.
        let reads = self.entry.reads.values();
        let siblings = reads.filter_map(|read| read.for_each.as_ref());
        for other in siblings.filter(|other| other.read == each.read) {
            for (name, at) in &each.bind {
                need(other.bind.get(name).is_none_or(|known| known == at), || {
                    format!("{{{name}}} is bound to two places")
                })?;
            }
        }
        each.filter.as_ref().map_or(Ok(()), condition)
    }

    /// The placeholders that a read's URL may name: the settings, and what its parents bind.
    pub(super) fn bound(&self, read: &Read) -> Result<Vec<String>, String> {
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
}
