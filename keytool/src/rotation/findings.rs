//! The rows that a scan could not open, told apart by what helps: another key, a newer program, or a repair.

use std::collections::BTreeMap;

use clap::Args;
use kms::WrappingKeys;
use sealed::Kid;
use serde_json::json;
use uuid::Uuid;

use super::finding::{Finding, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::shown::rows;

/// How many rows of a kind are listed unless all are asked for.
const FIRST: usize = 20;

/// How many are listed at the most, so that memory is bounded.
const MOST: usize = 100_000;

/// How many keys are counted one by one.
const MAX_KIDS: usize = 1000;

#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Rows")]
pub struct ListArgs {
    /// List every row that does not open, also those whose key is missing
    #[arg(long)]
    list_all: bool,
}

/// Counts rows that do not open, and keeps the first ones in the order of their ids.
pub struct Findings {
    lists_all: bool,
    kinds: BTreeMap<Kind, Listed>,
    /// Fallback keys that the command leaves out on purpose.
    left_out: Vec<Kid>,
    /// Rows whose data key was deleted are no failure: a rotation can do nothing for them, and they need no key of the ring.
    allows_missing_data_keys: bool,
}

#[derive(Default)]
struct Listed {
    count: u64,
    first: BTreeMap<Uuid, Finding>,
}

impl Findings {
    /// With `--json`, for a machine, all are listed.
    pub fn new(args: ListArgs, progress: &Progress) -> Self {
        Self {
            lists_all: args.list_all || progress.is_json(),
            kinds: BTreeMap::new(),
            left_out: Vec::new(),
            allows_missing_data_keys: false,
        }
    }

    /// Rows whose data key was deleted are reported, and do not end the command.
    pub fn allowing_missing_data_keys(mut self) -> Self {
        self.allows_missing_data_keys = true;
        self
    }

    /// Rows on the fallbacks of this ring are opened with its primary key alone.
    pub fn with_primary_only(mut self, ring: &WrappingKeys) -> Self {
        self.left_out = ring.kids().skip(1).collect();
        self
    }

    pub fn add(&mut self, finding: Finding) {
        let kind = match finding.kind {
            Kind::MissingKey(_)
                if self.kinds.len() >= MAX_KIDS && !self.kinds.contains_key(&finding.kind) =>
            {
                Kind::OtherMissingKeys
            }
            kind => kind,
        };
        let limit = match kind {
            _ if self.lists_all => MOST.saturating_sub(self.listed()),
            // Their line says all that there is to say of them.
            Kind::MissingKey(_)
            | Kind::OtherMissingKeys
            | Kind::OtherVersion
            | Kind::NoKeyFits
            | Kind::MissingDataKey => 0,
            _ => FIRST,
        };
        let listed = self.kinds.entry(kind).or_default();
        listed.count += 1;
        let limit = if self.lists_all {
            listed.first.len() + limit
        } else {
            limit
        };
        listed.first.insert(finding.context.integration_id, finding);
        if listed.first.len() > limit {
            listed.first.pop_last();
        }
    }

    fn listed(&self) -> usize {
        self.kinds.values().map(|listed| listed.first.len()).sum()
    }

    pub fn count(&self) -> u64 {
        self.kinds.values().map(|listed| listed.count).sum()
    }

    /// Lists them, each kind under a line that says what it is.
    pub fn report(&self, progress: &Progress) -> Result<()> {
        for (kind, Listed { count, first }) in &self.kinds {
            let event = json!({
                "event": "do_not_open", "kind": kind.as_str(), "kid": kind.kid().map(|kid| kid.to_string()), "rows": count,
            });
            progress.step(&event, &self.sentence(*kind, *count))?;
            for finding in first.values() {
                progress.step(&finding.to_event(), &finding.to_line())?;
            }
            let more = count.saturating_sub(first.len() as u64);
            if more > 0 && !first.is_empty() && !progress.is_json() {
                progress.say(&format!(
                    "... and {} more: --list-all lists them",
                    rows(more)
                ))?;
            }
        }
        Ok(())
    }

    fn sentence(&self, kind: Kind, count: u64) -> String {
        let is = if count == 1 { "is" } else { "are" };
        let rows = rows(count);
        match kind {
            Kind::MissingKey(kid) if self.left_out.contains(&kid) => {
                format!("{rows} {is} still sealed with key {kid}, a fallback key")
            }
            Kind::MissingKey(kid) => {
                format!("{rows} {is} sealed with key {kid}, which is not among your keys")
            }
            Kind::OtherMissingKeys => {
                format!("{rows} {is} sealed with further keys that are not among yours")
            }
            Kind::OtherVersion => {
                format!("{rows} {is} of a version of the format that this keytool does not read")
            }
            Kind::NoKeyFits => format!(
                "{rows} of the legacy form {} with none of your keys; the legacy form names no key",
                if count == 1 { "opens" } else { "open" }
            ),
            Kind::MissingDataKey => {
                format!("{rows} {is} sealed with data keys that their organizations no longer have")
            }
            Kind::Damaged => format!(
                "{rows} {is} damaged: no key opens {}",
                if count == 1 { "it" } else { "them" }
            ),
        }
    }

    /// Rows that do not open end a command, after everything else was done.
    pub fn ensure_none(&self) -> Result<()> {
        let failures = self.failures();
        let total: u64 = failures.values().sum();
        let damaged = failures.get(&Kind::Damaged).copied().unwrap_or(0);
        if total == 0 {
            return Ok(());
        }
        if damaged > 0 {
            let message = match total {
                1 => "1 row does not open".to_owned(),
                _ => format!("{} do not open", rows(total)),
            };
            let hint = if total > damaged {
                format!(
                    "{damaged} of them are damaged; the others may need a key or a version that is not here: begin with those, and delete none; {REPAIR}"
                )
            } else {
                REPAIR.to_owned()
            };
            return Err(Error::new(ErrorKind::Row, message).hint(hint));
        }
        let message = match failures.first_key_value() {
            Some((kind, count)) if failures.len() == 1 => self.sentence(*kind, *count),
            _ if failures.keys().all(|kind| kind.kid().is_some()) => format!(
                "{} are sealed with {} keys that are not among yours",
                rows(total),
                failures.len()
            ),
            _ => format!("{} do not open with these keys", rows(total)),
        };
        Err(Error::new(ErrorKind::Key, message).hint(self.hint()))
    }

    /// How many rows of each kind end the command.
    fn failures(&self) -> BTreeMap<Kind, u64> {
        let kinds = self.kinds.iter();
        kinds
            .filter(|(kind, _)| !(self.allows_missing_data_keys && **kind == Kind::MissingDataKey))
            .map(|(kind, listed)| (*kind, listed.count))
            .collect()
    }

    fn hint(&self) -> &'static str {
        let failures = self.failures();
        let all = |is: fn(&Kind) -> bool| failures.keys().all(is);
        let is_left_out = |kind: &Kind| kind.kid().is_some_and(|kid| self.left_out.contains(&kid));
        if failures.keys().all(is_left_out) {
            "nothing is wrong with these rows: run `keytool rotate`, which rewraps them with the primary key"
        } else if all(|kind| *kind == Kind::MissingDataKey) {
            "if `keytool delete-data-keys` deleted those keys, disconnect these integrations: nothing opens them; if not, restore private.data_keys \
             from a backup, and delete no row"
        } else if all(|kind| *kind == Kind::OtherVersion) {
            "nothing need be wrong with these rows: install the keytool of the worker's version, and delete none"
        } else {
            "nothing need be wrong with these rows, so delete none: if the worker seals with that key, ENCRYPTION_KEY is another one here \
             or this is another database; if it is an older key, add it to FALLBACK_ENCRYPTION_KEYS"
        }
    }
}

const REPAIR: &str = "docs/format.md explains each class: restore the row from a backup, or ask the account's owner to connect again, which replaces it";
