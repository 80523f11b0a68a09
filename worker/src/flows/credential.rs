//! What every reader of a credential goes through.

use super::Task;
use super::redemption::open;
use super::refresh::{Asker, Wanted, renew};
use crate::error::{Error, Result};
use crate::ids::{IntegrationId, OrganizationId};
use sealed::PlainConfig;

/// A token that ends within so many seconds is refreshed before it is handed out.
const SOON_SECONDS: u32 = 120;

/// A credential, opened.
pub struct Credential {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
    /// The config.
    pub config: PlainConfig,
}

/// The credential of an integration, refreshed if it ends soon. Where a refresh is not to be had it is what stands, which the provider
/// may refuse. The event of the opening is written in the transaction that hands it out.
pub async fn current(task: &Task, id: IntegrationId, asker: &Asker<'_>) -> Result<Credential> {
    let standing = renew(task, id, Wanted::Within(SOON_SECONDS), asker).await?;
    let config = standing
        .config
        .ok_or_else(|| Error::database_answer("claim_refresh: no config was handed out"))?;
    Ok(Credential {
        config: open(task, id, standing.organization_id, &config)?,
        organization_id: standing.organization_id,
        integration_type: standing.integration_type,
    })
}
