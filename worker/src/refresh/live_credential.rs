//! What every reader of a credential goes through.

use crate::context::Task;
use crate::error::{Error, Result};
use crate::ids::IntegrationId;
use crate::refresh::on_demand::{Actor, RefreshPolicy, renew};
use crate::refresh::refresh_grant::open;
use sealed::PlainConfig;

/// A token that ends within so many seconds is refreshed before it is handed out.
pub const SOON_SECONDS: u32 = 120;

/// A credential that stands.
pub struct Credential {
    /// Opened; or why it does not open.
    pub config: Result<PlainConfig>,
    /// Which it is: what is found out about it holds as long as the row has this version.
    pub version: String,
    /// Whether it was refreshed a moment ago.
    pub is_fresh: bool,
}

/// The credential of an integration, refreshed if it ends soon. Where a refresh is not to be had it is what stands, which the provider
/// may refuse. The event of the opening is written in the transaction that hands it out.
pub async fn current(task: &Task, id: IntegrationId, asker: &Actor<'_>) -> Result<Credential> {
    read(task, id, RefreshPolicy::Within(SOON_SECONDS), asker).await
}

/// The same after a refresh, for a token that the provider does not take although it has not ended.
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
            config: open(task, id, standing.organization_id, &config),
            version,
            is_fresh: standing.settled,
        }),
        _ => Err(Error::database_answer(
            "claim_refresh: no config was handed out",
        )),
    }
}
