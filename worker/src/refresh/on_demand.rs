//! A refresh: one redemption of the refresh token however many ask at once. Whoever has the claim redeems; the others wait and read.

use crate::context::{Context, Task};
use crate::db::{ClaimRefresh, Claiming, Current, End, Fault};
use crate::error::{ClientError, DatabaseFault, Error, Result};
use crate::host;
use crate::host::random_uuid;
use crate::http::Response;
use crate::ids::{IntegrationId, ServiceKeyId, UserId};
use crate::refresh::policy::waits;
use crate::refresh::refresh_grant::{Redeemer, redeem, settle};
use serde_json::json;

/// Who opens a credential.
#[derive(Clone, Copy)]
pub enum Caller {
    /// The worker by itself.
    Worker,
    /// A user.
    User(UserId),
    /// A program, by its service key.
    ServiceKey(ServiceKeyId),
}

impl Caller {
    fn user(self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Worker | Self::ServiceKey(_) => None,
        }
    }

    fn service_key(self) -> Option<ServiceKeyId> {
        match self {
            Self::ServiceKey(id) => Some(id),
            Self::Worker | Self::User(_) => None,
        }
    }
}

/// Who wants a credential, and what for.
pub struct Actor<'a> {
    /// Who.
    pub caller: Caller,
    /// What for, as the event says it.
    pub reason: &'a str,
}

/// When a refresh is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RefreshPolicy {
    /// In any case, save what was refreshed a moment ago.
    Now,
    /// The same, and what stands then is handed out.
    Fresh,
    /// If the access token ends within so many seconds; what stands is handed out.
    Within(u32),
}

impl RefreshPolicy {
    /// Whether an old credential is better than none.
    fn takes_old(self) -> bool {
        matches!(self, Self::Within(_))
    }
}

/// How often one caller redeems by itself, where the row changes under it each time.
const CLAIMS: usize = 3;

/// `POST /api/integrations/:id/refresh`
pub async fn refresh(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let asker = Actor {
        caller: Caller::User(context.signed_in().await?.user.id),
        reason: "refresh",
    };
    let standing = renew(context, id, RefreshPolicy::Now, &asker).await?;
    let answer = json!({"refreshed": standing.settled, "expires_at": standing.expires_at, "status": standing.status});
    Ok(Response::json(200, &answer))
}

/// Refreshes a credential where that is wanted, by oneself or by waiting for whoever is at it.
pub async fn renew(
    task: &Task,
    id: IntegrationId,
    wanted: RefreshPolicy,
    asker: &Actor<'_>,
) -> Result<Current> {
    let mut waits = waits();
    let mut claims = 0;
    let mut within = match wanted {
        RefreshPolicy::Now | RefreshPolicy::Fresh => None,
        RefreshPolicy::Within(seconds) => Some(seconds),
    };
    loop {
        let call = ClaimRefresh {
            p_id: id,
            p_owner: random_uuid()?,
            p_user_id: asker.caller.user(),
            p_service_key: asker.caller.service_key(),
            p_within: within,
            p_read: wanted != RefreshPolicy::Now,
            p_reason: asker.reason,
            p_request_id: &task.request_id,
        };
        match task.call(&call).await? {
            Claiming::Claimed(_) if claims == CLAIMS => return Err(busy()),
            Claiming::Claimed(claim) => {
                claims += 1;
                let redeemer = Redeemer {
                    owner: call.p_owner,
                    user: asker.caller.user(),
                };
                let done = redeem(task, redeemer, &claim).await;
                let fault = done.result.fault;
                let ends = settle(task, redeemer, vec![done]).await?;
                let end = ends.get(&id.0).copied();
                again(id, end, fault, wanted)?;
                if end == Some(End::Changed) {
                    // Somebody else has just written the row: what stands there now is new.
                    within = Some(0);
                }
            }
            Claiming::Busy => host::sleep(waits.next().ok_or_else(busy)?).await,
            Claiming::Failed {
                paused_seconds: Some(seconds),
            } => return Err(ClientError::ProviderPaused { seconds }.into()),
            Claiming::Failed { .. } => {
                return Err(Error::provider("token endpoint: failed a moment ago"));
            }
            Claiming::Current(current) => return Ok(current),
            Claiming::Unknown => return Err(ClientError::UnknownIntegration.into()),
        }
    }
}

/// Whether the caller's own claim ended so that what stands now is to be read.
fn again(
    id: IntegrationId,
    end: Option<End>,
    fault: Option<Fault>,
    wanted: RefreshPolicy,
) -> Result<()> {
    match end {
        Some(End::Settled | End::Changed) => Ok(()),
        Some(End::ReconnectRequired | End::BackedOff) if wanted.takes_old() => Ok(()),
        Some(End::BackedOff) if fault == Some(Fault::NotRefreshable) => {
            Err(ClientError::NotRefreshable.into())
        }
        Some(End::BackedOff) if fault == Some(Fault::Unreadable) => Err(Error::Internal {
            detail: format!("integrations {id}: its credentials do not open"),
        }),
        Some(End::ReconnectRequired) => Ok(()),
        Some(End::BackedOff) => Err(Error::provider("token endpoint: the refresh failed")),
        Some(End::Gone) => Err(ClientError::UnknownIntegration.into()),
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
