//! Reseals the secrets of webhook endpoints and of OAuth apps that a key of the ring, or a replaced data key, has sealed. A rotation ends only
//! when there are none (docs/rotation.md).

use crate::context::Task;
use crate::credentials::Row;
use crate::db::{
    ResealSecrets, Resealed, Resealing, SealedSecrets, SecretsFound, SecretsOn, SecretsTable,
};
use crate::error::{Error, Result};
use crate::host::log;
use crate::ids::{EndpointId, OauthAppId};
use crate::jobs::progress::Progress;

/// How many rows a run reseals.
const BATCH: u32 = 200;

pub async fn run(task: &Task) -> Result<Progress> {
    let kids: Vec<_> = task
        .settings
        .wrapping
        .ring
        .kids()
        .map(|kid| kid.to_string())
        .collect();
    let call = SecretsOn {
        p_kids: &kids,
        p_limit: BATCH,
    };
    let SecretsFound::Found { secrets } = task.call(&call).await?;
    let organizations = secrets.iter().map(|secrets| secrets.organization_id);
    task.prepare_sealing(organizations).await?;
    let mut resealed = Vec::with_capacity(secrets.len());
    for secrets in secrets {
        match reseal(task, secrets).await {
            Ok(secrets) => resealed.extend(secrets),
            Err(error @ Error::Internal { .. }) => {
                log::warning(&task.request_id, error.detail().unwrap_or_default());
            }
            Err(error) => return Err(error),
        }
    }
    if !resealed.is_empty() {
        let call = ResealSecrets {
            p_resealed: &resealed,
        };
        let Resealing::Resealed = task.call(&call).await?;
    }
    Ok(Progress::Nothing)
}

/// None if the secrets do not open.
async fn reseal(task: &Task, secrets: SealedSecrets) -> Result<Option<Resealed>> {
    let row = match secrets.table {
        SecretsTable::WebhookEndpoints => Row::Endpoint(EndpointId(secrets.id)),
        SecretsTable::OauthApps => Row::OauthApp(OauthAppId(secrets.id)),
    };
    let resealed = task
        .reseal(secrets.organization_id, row, &secrets.config)
        .await?;
    let resealed = resealed.inspect_err(|unopened| {
        log::warning(&task.request_id, &unopened.detail);
    });
    Ok(resealed.ok().flatten().map(|config| Resealed {
        table: secrets.table,
        id: secrets.id,
        read: secrets.config,
        config,
    }))
}
