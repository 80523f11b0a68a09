//! Wraps the data keys of organizations with the primary key, and replaces those that another key has wrapped before.

use std::collections::BTreeMap;

use kms::WrappingKeys;
use sealed::{Fault, Kid};
use serde_json::json;
use uuid::Uuid;

use super::finding::Kind;
use super::scope::Scope;
use super::throttle::Throttle;
use crate::data_keys::{AT_ONCE, generate, not_unwrapped, rewrap};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::session::Session;
use crate::store::data_keys::{Replacement, Rewrapped, StoredDataKey, count, read};
use crate::store::{Function, unexpected_outcome};

/// Writers of these organizations wait until all of their integrations are noted.
const REPLACED_AT_ONCE: usize = 50;

/// How many data keys that do not unwrap are listed.
const LISTED: usize = 20;

/// What a rotation does with data keys.
pub struct Wrapping<'a> {
    pub session: &'a Session,
    pub ring: &'a WrappingKeys,
    pub scope: &'a Scope,
    pub throttle: &'a Throttle,
    pub dry_run: bool,
}

/// One pass over the data keys.
#[derive(Default)]
pub struct WrappingPass {
    /// In a dry run, those that it would write.
    pub written: u64,
    /// Changed after they were read.
    pub lost: u64,
    pub locked: Locked,
}

/// The data keys that do not unwrap.
#[derive(Default)]
pub struct Locked {
    kinds: BTreeMap<Kind, u64>,
    listed: Vec<(Uuid, Kid, Fault, Kind)>,
}

impl Wrapping<'_> {
    /// Rewraps what the primary key does not wrap.
    pub async fn rewrap(&self) -> Result<WrappingPass> {
        let mut pass = WrappingPass::default();
        self.session.progress.phase("data keys", None, true);
        let mut after = None;
        loop {
            let page = self.read(after, Some(self.ring.primary_kid())).await?;
            let Some(last) = page.last() else {
                return Ok(pass);
            };
            after = Some((last.organization_id, last.kid()));
            let mut rewrapped: Vec<Rewrapped> = Vec::with_capacity(page.len());
            for stored in &page {
                match rewrap(self.ring, stored).await? {
                    Ok(key) => rewrapped.push(key),
                    Err(fault) => pass.locked.add(stored, fault),
                }
            }
            let call = Function::RewrapDataKeys {
                rewrapped: &rewrapped,
            };
            self.write(&mut pass, rewrapped.len(), call).await?;
        }
    }

    /// Gives a new data key to each organization whose current one has been wrapped by another key before.
    pub async fn replace(&self) -> Result<WrappingPass> {
        let mut pass = WrappingPass::default();
        self.session.progress.phase("new data keys", None, true);
        let mut after = None;
        loop {
            let page = self.read(after, None).await?;
            let Some(last) = page.last() else {
                return Ok(pass);
            };
            after = Some((last.organization_id, last.kid()));
            let mut replacements: Vec<Replacement> = Vec::new();
            let primary = self.ring.primary_kid();
            for stored in page
                .iter()
                .filter(|stored| stored.rewrapped && !stored.replaced)
                // A key that did not unwrap opens nothing here, so what it has sealed could not be moved.
                .filter(|stored| stored.wrapping_kid() == primary)
            {
                let key = generate(self.ring, stored.organization_id).await?;
                replacements.push(stored.replaced_by(key));
            }
            for replacements in replacements.chunks(REPLACED_AT_ONCE) {
                let call = Function::ReplaceDataKeys { replacements };
                self.write(&mut pass, replacements.len(), call).await?;
            }
        }
    }

    /// Deletes the replaced data keys that nothing uses any more. Returns how many are left.
    pub async fn delete_replaced(&self) -> Result<(u64, u64)> {
        let mut deleted = 0;
        loop {
            let answer = self.session.call(Function::DeleteReplacedDataKeys).await?;
            let count = count(&answer, AT_ONCE)?;
            deleted += count;
            if count == 0 {
                let left = answer["left"].as_u64();
                return Ok((
                    deleted,
                    left.ok_or_else(|| unexpected_outcome("no number"))?,
                ));
            }
        }
    }

    async fn write(&self, pass: &mut WrappingPass, sent: usize, call: Function<'_>) -> Result<()> {
        self.session.progress.ensure_not_stopped()?;
        self.session.progress.scanned(sent as u64);
        if sent == 0 {
            return Ok(());
        }
        if self.dry_run {
            pass.written += sent as u64;
            return Ok(());
        }
        self.throttle.admit(sent).await?;
        let written = count(&self.session.call(call).await?, sent)?;
        pass.written += written;
        pass.lost += sent as u64 - written;
        Ok(())
    }

    /// The next data keys of the scope. A shard is one of rows: every shard rewraps all data keys, and the first one to do so wins.
    async fn read(
        &self,
        after: Option<(Uuid, Kid)>,
        wrapping: Option<Kid>,
    ) -> Result<Vec<StoredDataKey>> {
        if let Some(organization) = self.scope.only_organization {
            if after.is_some() {
                return Ok(Vec::new());
            }
            return self.read_one(organization, wrapping).await;
        }
        let call = Function::NextDataKeys {
            after,
            wrapping,
            limit: self.throttle.limit(AT_ONCE as u16),
        };
        let page = read(&self.session.call(call).await?)?;
        let places = page.iter().map(|key| (key.organization_id, key.kid()));
        if after.into_iter().chain(places).is_sorted_by(|a, b| a < b) {
            return Ok(page);
        }
        Err(unexpected_outcome("data keys that are not the next ones"))
    }

    /// Those of one organization, from its place in the order of all.
    async fn read_one(
        &self,
        organization: Uuid,
        wrapping: Option<Kid>,
    ) -> Result<Vec<StoredDataKey>> {
        let before = Uuid::from_u128(organization.as_u128().wrapping_sub(1));
        let first = (organization != Uuid::nil()).then_some(before);
        // No key id is greater.
        let greatest: Option<Kid> = "ffffffffffffffff".parse().ok();
        let call = Function::NextDataKeys {
            after: first.zip(greatest),
            wrapping,
            limit: AT_ONCE as u16,
        };
        let mut page = read(&self.session.call(call).await?)?;
        page.retain(|key| key.organization_id == organization);
        Ok(page)
    }
}

impl Locked {
    fn add(&mut self, stored: &StoredDataKey, fault: Fault) {
        let kind = not_unwrapped(stored.wrapping_kid(), fault);
        *self.kinds.entry(kind).or_default() += 1;
        if kind == Kind::Damaged && self.listed.len() < LISTED {
            self.listed
                .push((stored.organization_id, stored.kid(), fault, kind));
        }
    }

    pub fn count(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// Lists them, those that are damaged one by one.
    pub fn report(&self, progress: &Progress) -> Result<()> {
        for (kind, count) in &self.kinds {
            let kid = kind.kid().map(|kid| kid.to_string());
            let event = json!({
                "event": "do_not_open", "kind": kind.as_str(), "kid": kid, "tables": {"data_keys": count},
            });
            progress.step(&event, &sentence(*kind, *count))?;
        }
        for (organization, kid, fault, kind) in &self.listed {
            let event = json!({
                "event": "does_not_open", "table": "data_keys", "organization_id": organization.to_string(), "class": fault.as_str(),
                "kind": kind.as_str(), "kid": kid.to_string(),
            });
            let line =
                format!("does not unwrap: data key {kid} of organization {organization}: {fault}");
            progress.step(&event, &line)?;
        }
        Ok(())
    }

    /// Data keys that do not unwrap end a command, after everything else was done.
    pub fn ensure_none(&self) -> Result<()> {
        let Some((kind, count)) = self.kinds.last_key_value() else {
            return Ok(());
        };
        let (error, hint) = match kind {
            Kind::Damaged => (
                ErrorKind::Row,
                "restore these rows of private.data_keys from a backup: they open all that their organizations have",
            ),
            _ => (
                ErrorKind::Key,
                "nothing need be wrong with these data keys, so delete none: add that key to FALLBACK_ENCRYPTION_KEYS, or set ENCRYPTION_KEY to the worker's",
            ),
        };
        Err(Error::new(error, sentence(*kind, *count)).hint(hint))
    }
}

fn sentence(kind: Kind, count: u64) -> String {
    let keys = if count == 1 {
        "1 data key is".to_owned()
    } else {
        format!("{count} data keys are")
    };
    match kind.kid() {
        Some(kid) => format!("{keys} wrapped with key {kid}, which is not among your keys"),
        None => format!("{keys} damaged: no key unwraps it"),
    }
}
