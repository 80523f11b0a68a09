//! The credential for a check, refreshed first if it ends soon.

use crate::context::Task;
use crate::credentials::Unopened;
use crate::error::{Error, Result};
use crate::ids::IntegrationId;
use crate::refresh::on_demand::{Actor, RefreshPolicy, renew};
use crate::refresh::refresh_grant::open;
use sealed::PlainConfig;

/// A token that expires within this number of seconds is refreshed before it is returned.
pub const SOON_SECONDS: u32 = 120;

pub struct Credential {
    /// The opened config, or why it does not open.
    pub config: Result<PlainConfig, Unopened>,
    /// The row's version. What is found out about the credential holds as long as the row has this version.
    pub version: String,
    /// Whether it has just been refreshed.
    pub is_fresh: bool,
}

/// Returns an integration's credential, refreshed if it expires soon. If it cannot be refreshed, the stored credential is returned, which the
/// provider may reject. The transaction that returns it also writes the event `opened`.
pub async fn current(task: &Task, id: IntegrationId, asker: &Actor<'_>) -> Result<Credential> {
    read(task, id, RefreshPolicy::Within(SOON_SECONDS), asker).await
}

/// The same after a refresh, for a token that the provider rejects although it has not expired.
pub async fn fresh(task: &Task, id: IntegrationId, asker: &Actor<'_>) -> Result<Credential> {
    read(task, id, RefreshPolicy::Fresh, asker).await
}

async fn read(
    task: &Task,
    id: IntegrationId,
    wanted: RefreshPolicy,
    asker: &Actor<'_>,
) -> Result<Credential> {
    let standing = renew(task, id, wanted, asker).await?;
    match (standing.config, standing.version) {
        (Some(config), Some(version)) => Ok(Credential {
            config: open(task, id, standing.organization_id, &config).await?,
            version,
            is_fresh: standing.settled,
        }),
        _ => Err(Error::database_answer(
            "claim_refresh: no config was handed out",
        )),
    }
}
