//! Opens what is sealed outside `integrations`. Which key it is sealed with is counted by `store::elsewhere`.

use std::collections::BTreeMap;

use kms::WrappingKeys;
use sealed::RowContext;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::finding::{Finding, Kind};
use super::opening::Opening;
use crate::data_keys::DataKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::session::Session;
use crate::shown::rows;
use crate::store::{Function, unexpected_outcome};

/// How many rows are listed.
const LISTED: usize = 20;

/// What of it does not open, though its key is here.
#[derive(Default)]
pub struct Damaged {
    /// Sealed with data keys that were deleted.
    without_data_key: BTreeMap<String, u64>,
    by_table: BTreeMap<String, u64>,
    listed: Vec<(String, Finding)>,
}

#[derive(Deserialize)]
struct SealedRow {
    table: String,
    id: Uuid,
    organization_id: Uuid,
    /// The id that the sealed values are bound to.
    sealed_for: Uuid,
    /// A JSON text, so that its numbers stay as they are.
    config: String,
}

/// Opens all of it with this ring. Rows whose key is not in the ring are left out: `Elsewhere` reports them.
pub async fn open_all(
    session: &Session,
    ring: &WrappingKeys,
    opening: &Opening,
) -> Result<Damaged> {
    let mut damaged = Damaged::default();
    let mut after: Option<(String, Uuid)> = None;
    loop {
        let page = read(session, after.as_ref()).await?;
        let Some(last) = page.last() else {
            return Ok(damaged);
        };
        // A page that was read before would be read for ever.
        let is_next = after
            .as_ref()
            .is_none_or(|(table, id)| (&last.table, &last.id) > (table, id));
        if !is_next {
            return Err(unexpected_outcome("rows that are not the next ones"));
        }
        after = Some((last.table.clone(), last.id));
        let organizations = page.iter().map(|row| row.organization_id);
        opening.record(session.connection(), organizations).await?;
        let organizations = page.iter().map(|row| row.organization_id);
        let data_keys = DataKeys::of(session.connection(), Some(ring), organizations).await?;
        for row in page {
            damaged.check(ring, &data_keys, row);
        }
    }
}

async fn read(session: &Session, after: Option<&(String, Uuid)>) -> Result<Vec<SealedRow>> {
    let call = Function::ReadSealedElsewhere {
        table: after.map(|(table, _)| &**table),
        id: after.map(|(_, id)| *id),
    };
    let answer = session.call(call).await?;
    Vec::deserialize(&answer["rows"]).map_err(|_| unexpected_outcome("rows that cannot be read"))
}

impl Damaged {
    fn check(&mut self, ring: &WrappingKeys, data_keys: &DataKeys, row: SealedRow) {
        let context = RowContext {
            organization_id: row.organization_id,
            integration_id: row.sealed_for,
        };
        let Err(finding) = data_keys.open_text(ring, context, &row.config) else {
            return;
        };
        match finding.kind {
            Kind::MissingKey(_) => return,
            Kind::MissingDataKey => {
                *self.without_data_key.entry(row.table).or_default() += 1;
                return;
            }
            _ => {}
        }
        *self.by_table.entry(row.table.clone()).or_default() += 1;
        if self.listed.len() < LISTED {
            let context = RowContext {
                integration_id: row.id,
                ..context
            };
            self.listed
                .push((row.table, Finding { context, ..finding }));
        }
    }

    fn count(&self) -> u64 {
        self.by_table.values().sum()
    }

    /// Lists the first of them.
    pub fn report(&self, progress: &Progress) -> Result<()> {
        for (table, finding) in &self.listed {
            let mut event = finding.to_event();
            event["table"] = json!(table);
            progress.step(&event, &format!("{table}: {}", finding.to_line()))?;
        }
        if !self.without_data_key.is_empty() {
            let event = json!({"event": "do_not_open", "kind": Kind::MissingDataKey.as_str(), "tables": self.without_data_key});
            progress.step(
                &event,
                &format!(
                    "{} sealed with data keys that their organizations no longer have: their secrets are lost",
                    tables(&self.without_data_key)
                ),
            )?;
        }
        let more = self.count() - self.listed.len() as u64;
        if more > 0 && !progress.is_json() {
            progress.say(&format!("... and {} more outside integrations", rows(more)))?;
        }
        Ok(())
    }

    pub fn ensure_none(&self) -> Result<()> {
        if self.by_table.is_empty() {
            return Ok(());
        }
        let does = if self.count() == 1 { "does" } else { "do" };
        let message = format!("{} {does} not open", tables(&self.by_table));
        Err(Error::new(ErrorKind::Row, message).hint(
            "replace the secret of such a webhook endpoint; set the client secret of such an OAuth app anew; everything else outside \
             integrations ends by itself within a day, and its connection is then to be made again",
        ))
    }
}

/// "2 rows of webhook_endpoints and 1 row of oauth_apps"
fn tables(counts: &BTreeMap<String, u64>) -> String {
    let tables: Vec<String> = counts
        .iter()
        .map(|(table, count)| format!("{} of {table}", rows(*count)))
        .collect();
    tables.join(" and ")
}
