//! Reseals pages of rows.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use kms::WrappingKeys;
use sealed::{Form, Kid, RowContext, form};
use tokio::task::yield_now;

use super::findings::Findings;
use super::plan::Plan;
use super::reseal::{Verdict, reseal};
use crate::config;
use crate::data_keys::DataKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::random;
use crate::store::retry::retry;
use crate::store::{Cause, Function, Patch, Row, Rows};

/// The number of rows that are sealed between two polls of the connection. Without the polls, the connection and the server would be
/// idle until a whole page is sealed.
const AT_ONCE: usize = 32;

/// One pass over the rows and its counts. The database sends only rows that are not on their organization's data key.
pub struct Pass<'a> {
    plan: Plan<'a>,
    /// The keys that `record_keys` knows already.
    recorded: &'a RefCell<BTreeSet<Kid>>,
    /// The number of rows written; in a dry run, of those that it would write.
    pub written: Cell<u64>,
    /// The row was changed after it was read. The other writer's version stays.
    pub lost: Cell<u64>,
    pub findings: RefCell<Findings>,
}

impl<'a> Pass<'a> {
    pub fn new(plan: Plan<'a>, recorded: &'a RefCell<BTreeSet<Kid>>, findings: Findings) -> Self {
        Self {
            plan,
            recorded,
            written: Cell::new(0),
            lost: Cell::new(0),
            findings: RefCell::new(findings),
        }
    }

    /// Records which keys rows are about to be rewrapped from: only those can be retired.
    async fn record_keys(&self, connection: &dyn Rows, patches: &[Patch]) -> Result<()> {
        let is_new = |kid: &Kid| !self.recorded.borrow().contains(kid);
        let kids: BTreeSet<Kid> = patches
            .iter()
            .filter_map(|patch| match patch.from {
                Form::V2(kid) => Some(kid),
                _ => None,
            })
            .filter(is_new)
            .collect();
        let kids: Vec<Kid> = kids.into_iter().collect();
        if !kids.is_empty() {
            let call = Function::RecordKeys { kids: &kids };
            retry(async || connection.call(call).await).await?;
            self.recorded.borrow_mut().extend(kids);
        }
        Ok(())
    }

    pub async fn page(&self, connection: &dyn Rows, rows: Vec<Row>) -> Result<()> {
        let data_keys = self.data_keys(connection, &rows).await?;
        let patches = self.seal(&data_keys, rows).await?;
        if patches.is_empty() {
            return Ok(());
        }
        let written = if self.plan.dry_run {
            patches.len() as u64
        } else {
            self.record_keys(connection, &patches).await?;
            self.plan.throttle.admit(patches.len()).await?;
            // A call that is repeated after a lost response may count its own earlier writes as lost races. The next pass finds those rows done.
            match retry(async || connection.write(&patches).await).await {
                // The data key of an organization was deleted meanwhile. The next pass reads the rows and the keys again.
                Err(failure) if failure.cause == Cause::NoDataKey => 0,
                written => written?,
            }
        };
        let Some(lost) = (patches.len() as u64).checked_sub(written) else {
            let message = "the database says that it wrote more rows than it was given";
            return Err(Error::new(ErrorKind::Database, message)
                .hint("is it the right database, and are its migrations those of this version?"));
        };
        self.written.set(self.written.get() + written);
        self.lost.set(self.lost.get() + lost);
        self.plan.session.progress.wrote(written);
        Ok(())
    }

    /// The data keys of these rows. An organization that has none gets one, if a row of it opens without.
    async fn data_keys(&self, connection: &dyn Rows, rows: &[Row]) -> Result<DataKeys> {
        let ring = self.plan.ring;
        let organizations = rows.iter().map(|row| row.organization_id);
        let mut data_keys = DataKeys::of(connection, Some(ring), organizations).await?;
        let mut lacking = BTreeSet::new();
        for row in rows {
            let id = row.organization_id;
            if data_keys.has_none(id) && !lacking.contains(&id) && needs_data_key(ring, row) {
                lacking.insert(id);
            }
        }
        let dry_run = self.plan.dry_run;
        data_keys.add(connection, ring, lacking, dry_run).await?;
        Ok(data_keys)
    }

    async fn seal(&self, data_keys: &DataKeys, rows: Vec<Row>) -> Result<Vec<Patch>> {
        let mut patches = Vec::with_capacity(rows.len());
        let mut random = random::buffered();
        for (number, row) in rows.into_iter().enumerate() {
            if number % AT_ONCE == 0 {
                yield_now().await;
            }
            let context = RowContext {
                organization_id: row.organization_id,
                integration_id: row.id,
            };
            match reseal(
                self.plan.ring,
                data_keys,
                &context,
                &row.config,
                &mut random,
            )? {
                Verdict::Fine => {}
                Verdict::Patch { json, from } => patches.push(Patch {
                    id: row.id,
                    from,
                    version: row.version,
                    json,
                }),
                Verdict::Finding(finding) => self.findings.borrow_mut().add(finding),
            }
        }
        Ok(patches)
    }
}

/// Whether a row is to be sealed with a data key that its organization has yet to get.
fn needs_data_key(ring: &WrappingKeys, row: &Row) -> bool {
    match config::parse(&row.config).map(|config| form(&config)) {
        Ok(Form::V2(kid)) => ring.kids().any(|known| known == kid),
        Ok(Form::Legacy) => true,
        _ => false,
    }
}
