use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use sealed::{KeyRing, Place};
use tokio::task::yield_now;

use super::finding::{Class, Finding};
use super::pace::{Pace, patiently};
use super::reseal::{Reseal, Verdict};
use crate::database::{Patch, Row, Rows};
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
    pub counts: Counts,
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
        if !patches.is_empty() {
            let written = if self.dry_run {
                patches.len() as u64
            } else {
                self.pace.admit(patches.len()).await;
                // Asked a second time after a lost answer it may count what it wrote the first time as lost. The next pass
                // finds those rows where they should be.
                patiently(async || connection.apply(&patches, false).await).await?
            };
            add(&self.counts.written, written);
            add(&self.counts.lost, patches.len() as u64 - written);
            self.progress.wrote(written);
        }
        Ok(())
    }

    async fn seal(&self, rows: Vec<Row>) -> Result<Vec<Patch>> {
        let mut patches = Vec::with_capacity(rows.len());
        let mut random = random::buffered();
        let mut reseal = Reseal::new(self.ring);
        for (number, row) in rows.into_iter().enumerate() {
            if number % AT_ONCE == 0 {
                yield_now().await;
            }
            let Some(config) = &row.config else { continue };
            let place = Place {
                organization_id: row.organization_id,
                integration_id: row.id,
            };
            match reseal.row(&place, config, &mut random)? {
                Verdict::Fine => {}
                Verdict::Patch(json) => patches.push(Patch {
                    id: row.id,
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
    counter.set(counter.get() + more);
}
