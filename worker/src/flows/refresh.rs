//! A refresh: one redemption of the refresh token however many ask at once. Whoever has the claim redeems; the others wait and read.
//!
//! A redemption is sent once for a claim and never repeated; its write is, and where the row may not be written the database keeps
//! the sealed answer for the next claim. What is left is a worker that dies between the provider's answer and its first write: the
//! next claim finds that an attempt was made, tries the token that it has, and the events tell what was lost.

use super::{Context, Task, completion, now, random_uuid};
use crate::credentials::{self, Row, credential};
use crate::error::{DatabaseFault, Error, Refusal, Result};
use crate::host::{self, log};
use crate::http::Response;
use crate::ids::{IntegrationId, OrganizationId, UserId};
use crate::oauth::refresh::{self as oauth, Redemption};
use crate::oauth::{Client, Grant};
use crate::refresh::{WRITE_PAUSES_MS, waits};
use crate::supabase::functions::{
    Claim, ClaimRefresh, Claiming, Current, End, Fault, RefreshResult, SettleRefreshes, Settling,
};
use sealed::{PlainConfig, StoredConfig};
use serde_json::{Value, json};
use std::collections::HashMap;
use uuid::Uuid;

/// Who wants a credential, and what for.
pub struct Asker<'a> {
    /// Who; None: the worker by itself.
    pub user: Option<UserId>,
    /// What for, as the event says it.
    pub reason: &'a str,
}

/// When a refresh is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// In any case, save what was refreshed a moment ago.
    Now,
    /// If the access token ends within so many seconds; what stands is handed out then.
    #[allow(dead_code, reason = "for the health checks")]
    Within(u32),
}

/// How often one caller redeems by itself, where the row changes under it each time.
const CLAIMS: usize = 3;

/// `POST /api/integrations/:id/refresh`
pub async fn refresh(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let asker = Asker {
        user: Some(context.signed_in().await?.user.id),
        reason: "refresh",
    };
    let standing = renew(context, id, Wanted::Now, &asker).await?;
    let answer = json!({"refreshed": standing.settled, "expires_at": standing.expires_at, "status": standing.status});
    Ok(Response::json(200, &answer))
}

/// Refreshes a credential where that is wanted, by oneself or by waiting for whoever is at it.
pub async fn renew(
    task: &Task,
    id: IntegrationId,
    wanted: Wanted,
    asker: &Asker<'_>,
) -> Result<Current> {
    let mut waits = waits();
    let mut claims = 0;
    let mut within = match wanted {
        Wanted::Now => None,
        Wanted::Within(seconds) => Some(seconds),
    };
    loop {
        let call = ClaimRefresh {
            p_id: id,
            p_owner: random_uuid()?,
            p_user_id: asker.user,
            p_within: within,
            p_read: wanted != Wanted::Now,
            p_reason: asker.reason,
            p_request_id: &task.request_id,
        };
        match task.call(&call).await? {
            Claiming::Claimed(_) if claims == CLAIMS => return Err(busy()),
            Claiming::Claimed(claim) => {
                claims += 1;
                let done = redeem(task, &claim).await;
                let fault = done.result.fault;
                let ends = settle(task, call.p_owner, vec![done], asker.user).await?;
                let end = ends.get(&id.0).copied();
                again(end, fault, wanted)?;
                if end == Some(End::Changed) {
                    // Somebody else has just written the row: what stands there now is new.
                    within = Some(0);
                }
            }
            Claiming::Busy => host::pause(waits.next().ok_or_else(busy)?).await,
            Claiming::Failed => {
                return Err(Error::provider("token endpoint: failed a moment ago"));
            }
            Claiming::Current(current) => return Ok(current),
            Claiming::Unknown => return Err(Refusal::UnknownIntegration.into()),
        }
    }
}

/// Whether the caller's own claim ended so that what stands now is to be read.
fn again(end: Option<End>, fault: Option<Fault>, wanted: Wanted) -> Result<()> {
    match end {
        Some(End::Settled | End::Changed) => Ok(()),
        Some(End::ReconnectRequired | End::BackedOff) if wanted != Wanted::Now => Ok(()),
        Some(End::BackedOff) if fault == Some(Fault::NotRefreshable) => {
            Err(Refusal::NotRefreshable.into())
        }
        Some(End::ReconnectRequired) => Ok(()),
        Some(End::BackedOff) => Err(Error::provider("token endpoint: the refresh failed")),
        Some(End::Gone) => Err(Refusal::UnknownIntegration.into()),
        Some(End::Journalled | End::Released) | None => Err(Error::Database {
            fault: DatabaseFault::Save,
            detail: "settle_refreshes: the row may not be written now".to_owned(),
        }),
    }
}

fn busy() -> Error {
    Error::Database {
        fault: DatabaseFault::Timeout,
        detail: "another refresh of this integration takes too long".to_owned(),
    }
}

/// A claim's result, still to be written.
pub struct Redeemed {
    /// What is written.
    pub result: RefreshResult,
    /// What the provider gave, to be taken back if the integration is gone.
    fresh: Option<(&'static Client, Grant)>,
}

impl Redeemed {
    /// Without a config.
    pub fn fault(claim: &Claim, fault: Fault) -> Self {
        Self::of(claim, None, Some(fault))
    }

    fn of(claim: &Claim, config: Option<StoredConfig>, fault: Option<Fault>) -> Self {
        let result = RefreshResult {
            id: claim.id,
            generation: claim.generation,
            config,
            fault,
        };
        Self {
            result,
            fresh: None,
        }
    }
}

/// Redeems what was claimed: one request to the provider at the most.
pub async fn redeem(task: &Task, claim: &Claim) -> Redeemed {
    match attempt(task, claim).await {
        Ok(redeemed) => redeemed,
        Err((fault, detail)) => {
            let detail = format!("integrations {}: not refreshed: {detail}", claim.id);
            log::warning(&task.request_id, &detail);
            Redeemed::fault(claim, fault)
        }
    }
}

async fn attempt(task: &Task, claim: &Claim) -> Result<Redeemed, (Fault, String)> {
    let config = open(task, claim.id, claim.organization_id, &claim.config)
        .map_err(|error| (Fault::Unreadable, told(&error)))?;
    if claim.refreshed {
        let sealed =
            seal(task, claim, &config).map_err(|error| (Fault::Unreadable, told(&error)))?;
        return Ok(Redeemed::of(claim, Some(sealed), None));
    }
    let client = task
        .settings
        .client(&claim.integration_type)
        .ok_or_else(|| (Fault::Refused, "its provider is not configured".to_owned()))?;
    let token = credential(&config, "refresh_token")
        .ok_or_else(|| (Fault::NotRefreshable, "it has no refresh token".to_owned()))?;
    let answer = host::fetch(&oauth::request(client, &token)).await;
    let grant = match oauth::read(&client.provider, answer, now()) {
        Redemption::Granted(grant) => grant,
        Redemption::Refused(detail) => return Err((Fault::Refused, detail)),
        Redemption::Unsettled(detail) => return Err((Fault::Unsettled, detail)),
        Redemption::InvalidGrant => {
            return Err((
                Fault::InvalidGrant,
                "token endpoint: invalid_grant".to_owned(),
            ));
        }
    };
    match seal(task, claim, &credentials::renewed(&config, &grant)) {
        Ok(sealed) => Ok(Redeemed {
            fresh: Some((client, grant)),
            ..Redeemed::of(claim, Some(sealed), None)
        }),
        Err(error) => Err((Fault::Unsettled, told(&error))),
    }
}

fn told(error: &Error) -> String {
    error.detail().unwrap_or_default().to_owned()
}

/// Opens a row's config as it is stored.
pub fn open(
    task: &Task,
    id: IntegrationId,
    organization: OrganizationId,
    config: &Value,
) -> Result<PlainConfig> {
    let config = config.as_object().ok_or_else(|| Error::Us {
        detail: format!("integrations {id}: config is no object"),
    })?;
    credentials::open(
        &task.settings.ring,
        organization,
        Row::Integration(id),
        config,
    )
}

fn seal(task: &Task, claim: &Claim, config: &PlainConfig) -> Result<StoredConfig> {
    credentials::seal(
        &task.settings.ring,
        claim.organization_id,
        Row::Integration(claim.id),
        config,
        &mut host::random,
    )
}

/// Writes results, again and again for a while: what was redeemed exists nowhere else. A write whose answer was lost may be repeated.
pub async fn settle(
    task: &Task,
    owner: Uuid,
    done: Vec<Redeemed>,
    user: Option<UserId>,
) -> Result<HashMap<Uuid, End>> {
    let (results, fresh): (Vec<_>, Vec<_>) = done
        .into_iter()
        .map(|redeemed| (redeemed.result, redeemed.fresh))
        .unzip();
    let call = SettleRefreshes {
        p_owner: owner,
        p_results: &results,
        p_user_id: user,
        p_request_id: &task.request_id,
    };
    let ends = persistently(task, &call).await?;
    for (result, fresh) in results.iter().zip(fresh) {
        match (ends.get(&result.id.0), fresh) {
            // Deleted meanwhile: the disconnection could not know of these tokens.
            (Some(End::Gone), Some((client, grant))) => {
                let (access, refresh) = (&grant.access_token, grant.refresh_token.as_ref());
                completion::revoke(task, client, Some(access), refresh).await;
            }
            (Some(End::Journalled), _) => log::warning(
                &task.request_id,
                &format!(
                    "integrations {}: refreshed, but this key may not write now; the answer is kept",
                    result.id
                ),
            ),
            _ => {}
        }
    }
    Ok(ends)
}

async fn persistently(task: &Task, call: &SettleRefreshes<'_>) -> Result<HashMap<Uuid, End>> {
    let mut failure = None;
    for pause in WRITE_PAUSES_MS {
        if pause > 0 {
            host::pause(pause).await;
        }
        match task.call(call).await {
            Ok(Settling::Ended { ends }) => return Ok(ends),
            Err(error) => failure = Some(error),
        }
    }
    Err(completion::not_saved(failure.unwrap_or_else(|| {
        Error::database_answer("settle_refreshes: not tried")
    })))
}
