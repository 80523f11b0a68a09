use std::cell::RefCell;
use std::collections::HashMap;

use sealed::Kid;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::Result;
use crate::store::retry::retry;
use crate::store::{Function, Patch, Rows, Written};

/// Counts the rewrapped rows of each organization, over all passes. There may be hundreds of thousands of organizations, so each
/// entry is small.
#[derive(Default)]
pub struct Rewrapped(RefCell<Counts>);

#[derive(Default)]
struct Counts {
    organizations: HashMap<Uuid, Organization>,
    /// The keys that rows were sealed with; `None` is the legacy form.
    from: Vec<Option<Kid>>,
}

#[derive(Clone, Copy, Default)]
struct Organization {
    rows: u64,
    /// Bit n stands for entry n of `Counts::from`.
    from: u64,
}

/// The number of organizations in one call of `record_rotation`.
const RECORDED: usize = 10_000;

impl Rewrapped {
    /// Counts what was written of these patches.
    pub fn add(&self, patches: &[Patch], written: &Written) {
        let counts = &mut *self.0.borrow_mut();
        for patch in patches {
            if written.contains_key(&patch.organization_id) {
                let bit = counts.bit(patch.from);
                counts.organization(patch.organization_id).from |= bit;
            }
        }
        for (id, rows) in written {
            let organization = counts.organization(*id);
            organization.rows = organization.rows.saturating_add(*rows);
        }
    }

    /// Writes an event for each organization. It also makes the writes before it durable: until then, a crash of the server may undo
    /// them.
    pub async fn record(&self, connection: &dyn Rows, kid: Kid) -> Result<()> {
        let counts = self.0.take();
        let all: Vec<_> = counts.organizations.iter().collect();
        for some in all.chunks(RECORDED) {
            let organizations = some.iter().map(|(id, organization)| {
                let from = counts.names(organization.from);
                json!({"id": id.to_string(), "rows": organization.rows, "from": from})
            });
            let organizations = &Value::Array(organizations.collect());
            let call = Function::RecordRotation { kid, organizations };
            retry(async || connection.call(call).await).await?;
        }
        Ok(())
    }
}

impl Counts {
    fn organization(&mut self, id: Uuid) -> &mut Organization {
        self.organizations.entry(id).or_default()
    }

    /// The bit of a key. A key ring holds far fewer keys than there are bits.
    fn bit(&mut self, from: Option<Kid>) -> u64 {
        let known = self.from.iter().position(|known| *known == from);
        let position = known.unwrap_or_else(|| {
            self.from.push(from);
            self.from.len() - 1
        });
        1u64.checked_shl(position as u32).unwrap_or(0)
    }

    fn names(&self, bits: u64) -> Vec<String> {
        let is_set = |position: usize| bits.checked_shr(position as u32).unwrap_or(0) & 1 == 1;
        let set = self
            .from
            .iter()
            .enumerate()
            .filter(|(position, _)| is_set(*position));
        let name = |kid: &Option<Kid>| kid.map_or("legacy".to_owned(), |kid| kid.to_string());
        set.map(|(_, kid)| name(kid)).collect()
    }
}
