use std::collections::{BTreeSet, HashSet};

use sealed::Kid;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::error::Result;
use crate::store::retry::retry;
use crate::store::{Function, Rows};

/// The audit trail of a command that opens rows: one event for each organization, written before its first row is opened.
pub struct Opening {
    reason: &'static str,
    kid: Option<Kid>,
    recorded: Mutex<HashSet<Uuid>>,
}

impl Opening {
    /// `reason` says why the rows are opened; `kid` is the key that they are rewrapped with, if any.
    pub fn new(reason: &'static str, kid: Option<Kid>) -> Self {
        Self {
            reason,
            kid,
            recorded: Mutex::default(),
        }
    }

    /// Writes the events for rows of these organizations. Other connections wait for it, so that no row is opened before its event is
    /// written.
    pub async fn record(
        &self,
        connection: &dyn Rows,
        organizations: impl Iterator<Item = Uuid>,
    ) -> Result<()> {
        let mut recorded = self.recorded.lock().await;
        let organizations: BTreeSet<Uuid> =
            organizations.filter(|id| !recorded.contains(id)).collect();
        if organizations.is_empty() {
            return Ok(());
        }
        let organizations: Vec<Uuid> = organizations.into_iter().collect();
        let call = Function::RecordOpening {
            reason: self.reason,
            kid: self.kid,
            organizations: &organizations,
        };
        retry(async || connection.call(call).await).await?;
        recorded.extend(organizations);
        Ok(())
    }
}
