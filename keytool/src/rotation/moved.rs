use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use sealed::Kid;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::Result;
use crate::store::retry::retry;
use crate::store::{Function, Patch, Rows, Written};

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
    /// Counts what was written of these patches.
    pub fn add(&self, patches: &[Patch], written: &Written) {
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
            retry(async || connection.call(call).await).await?;
        }
        Ok(())
    }
}
