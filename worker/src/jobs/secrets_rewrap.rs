//! Rewraps the secrets of webhook endpoints and of OAuth apps that are sealed with a fallback key. A rotation ends only when there are none
//! (docs/rotation.md).

use crate::context::Task;
use crate::credentials::{self, Row};
use crate::db::{
    ResealSecrets, Resealed, Resealing, SealedSecrets, SecretsFound, SecretsOn, SecretsTable,
};
use crate::error::Result;
use crate::host::{self, log};
use crate::ids::{EndpointId, OauthAppId};
use crate::jobs::progress::Progress;

/// How many rows a run rewraps.
const BATCH: u32 = 200;

pub async fn run(task: &Task) -> Result<Progress> {
    let ring = &task.settings.ring;
    let fallbacks: Vec<_> = ring.kids().skip(1).map(|kid| kid.to_string()).collect();
    if fallbacks.is_empty() {
        return Ok(Progress::Nothing);
    }
    let call = SecretsOn {
        p_kids: &fallbacks,
        p_limit: BATCH,
    };
    let SecretsFound::Found { secrets } = task.call(&call).await?;
    let resealed: Vec<_> = secrets
        .into_iter()
        .filter_map(|secrets| reseal(task, secrets))
        .collect();
    if !resealed.is_empty() {
        let call = ResealSecrets {
            p_resealed: &resealed,
        };
        let Resealing::Resealed = task.call(&call).await?;
    }
    Ok(Progress::Nothing)
}

/// None if the secrets do not open.
fn reseal(task: &Task, secrets: SealedSecrets) -> Option<Resealed> {
    let row = match secrets.table {
        SecretsTable::WebhookEndpoints => Row::Endpoint(EndpointId(secrets.id)),
        SecretsTable::OauthApps => Row::OauthApp(OauthAppId(secrets.id)),
    };
    let (ring, organization) = (&task.settings.ring, secrets.organization_id);
    let moved = credentials::reseal(ring, organization, row, &secrets.config, &mut host::random);
    let moved = moved.inspect_err(|error| {
        log::warning(&task.request_id, error.detail().unwrap_or_default());
    });
    Some(Resealed {
        table: secrets.table,
        id: secrets.id,
        read: secrets.config,
        config: moved.ok()??,
    })
}
