use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sealed::{KeyRing, Kid, Place};
use serde_json::{Value, json};
use tokio::task::yield_now;
use uuid::Uuid;

use super::finding::{Class, Finding};
use super::pace::{Pace, patiently};
use super::reseal::{Verdict, reseal};
use crate::database::{Function, Patch, Row, Rows, Written};
use crate::error::Result;
use crate::progress::Progress;
use crate::random;

/// How many rows are sealed before it is looked whether an answer has come: its connection, and the server behind it, would otherwise
/// stand idle until a whole page is sealed.
const AT_ONCE: usize = 32;

/// Moves rows to the primary key.
pub struct Rewrap<'a> {
    pub ring: &'a KeyRing,
    pub pace: &'a Pace,
    pub progress: &'a Progress,
    /// Seals, but writes nothing.
    pub dry_run: bool,
    /// Tells of each row that does not open, not only how many there are.
    pub lists: bool,
    pub moved: &'a Moved,
    pub counts: Counts,
}

/// What a rotation has moved of each organization, over all its passes.
#[derive(Default)]
pub struct Moved(RefCell<HashMap<Uuid, Organization>>);

#[derive(Default)]
struct Organization {
    rows: u64,
    from: BTreeSet<Option<Kid>>,
}

/// How many organizations one call of `record_rotation` takes.
const RECORDED: usize = 10_000;

impl Moved {
    fn add(&self, patches: &[Patch], written: &Written) {
        let mut moved = self.0.borrow_mut();
        for patch in patches {
            if written.contains_key(&patch.organization_id) {
                let organization = moved.entry(patch.organization_id).or_default();
                organization.from.insert(patch.from);
            }
        }
        for (id, rows) in written {
            let organization = moved.entry(*id).or_default();
            organization.rows = organization.rows.saturating_add(*rows);
        }
    }

    /// Writes an event for each organization. Until then a crash of the server may undo what was written; what is recorded is on the
    /// disk.
    pub async fn record(&self, connection: &dyn Rows, kid: Kid) -> Result<()> {
        let moved = self.0.take();
        let all: Vec<Value> = moved
            .iter()
            .map(|(id, organization)| {
                let from = organization.from.iter().map(|kid| match kid {
                    Some(kid) => kid.to_string(),
                    None => "legacy".to_owned(),
                });
                let from: Vec<String> = from.collect();
                json!({"id": id.to_string(), "rows": organization.rows, "from": from})
            })
            .collect();
        for some in all.chunks(RECORDED) {
            let organizations = &Value::from(some);
            let call = Function::RecordRotation { kid, organizations };
            patiently(async || connection.call(call).await).await?;
        }
        Ok(())
    }
}

/// What a pass has come upon. Rows that were on the primary key already are not in it: they do not travel.
#[derive(Default)]
pub struct Counts {
    /// Written, or in a dry run: would be.
    pub written: Cell<u64>,
    /// Somebody else wrote the row between our reading and our writing; theirs stands.
    pub lost: Cell<u64>,
    pub findings: RefCell<BTreeMap<Class, u64>>,
}

impl Counts {
    pub fn do_not_open(&self) -> u64 {
        self.findings.borrow().values().sum()
    }
}

impl Rewrap<'_> {
    pub async fn page(&self, connection: &dyn Rows, rows: Vec<Row>) -> Result<()> {
        let patches = self.seal(rows).await?;
        if patches.is_empty() {
            return Ok(());
        }
        let written = if self.dry_run {
            patches.len() as u64
        } else {
            self.pace.admit(patches.len()).await;
            // Asked a second time after a lost answer it may count what it wrote the first time as lost. The next pass
            // finds those rows where they should be.
            let written = patiently(async || connection.apply(&patches).await).await?;
            self.moved.add(&patches, &written);
            written
                .values()
                .fold(0, |sum: u64, rows| sum.saturating_add(*rows))
        };
        add(&self.counts.written, written);
        add(
            &self.counts.lost,
            (patches.len() as u64).saturating_sub(written),
        );
        self.progress.wrote(written);
        Ok(())
    }

    async fn seal(&self, rows: Vec<Row>) -> Result<Vec<Patch>> {
        let mut patches = Vec::with_capacity(rows.len());
        let mut random = random::buffered();
        for (number, row) in rows.into_iter().enumerate() {
            if number % AT_ONCE == 0 {
                yield_now().await;
            }
            let Some(config) = &row.config else { continue };
            let place = Place {
                organization_id: row.organization_id,
                integration_id: row.id,
            };
            match reseal(self.ring, &place, config, &mut random)? {
                Verdict::Fine => {}
                Verdict::Patch { json, from } => patches.push(Patch {
                    id: row.id,
                    organization_id: row.organization_id,
                    from,
                    version: row.version,
                    json,
                }),
                Verdict::Finding(finding) => self.tell(&finding)?,
            }
        }
        Ok(patches)
    }

    fn tell(&self, finding: &Finding) -> Result<()> {
        *self
            .counts
            .findings
            .borrow_mut()
            .entry(finding.class)
            .or_default() += 1;
        if self.lists {
            self.progress.finding(finding)?;
        }
        Ok(())
    }
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get().saturating_add(more));
}
