//! A refresh for a request. The caller with the claim redeems the refresh token once; concurrent callers wait and read the result.

use crate::auth::caller::Caller;
use crate::auth::service_key::Scope;
use crate::context::{Context, Task};
use crate::db::{ClaimRefresh, Claiming, Current, End, Fault};
use crate::error::{ClientError, DatabaseFault, Error, Result};
use crate::host;
use crate::host::random_uuid;
use crate::http::Response;
use crate::ids::IntegrationId;
use crate::refresh::policy::waits;
use crate::refresh::refresh_grant::{Redeemed, Redeemer, redeem, settle};
use serde_json::json;
use std::iter;

/// Who asks for a credential, and why.
pub struct Actor<'a> {
    pub caller: Caller,
    /// The reason in the event.
    pub reason: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RefreshPolicy {
    /// Always, unless it has just been refreshed.
    Now,
    /// Always; if that fails, the stored credential is returned.
    Fresh,
    /// If the access token expires within this number of seconds; otherwise the stored credential is returned.
    Within(u32),
}

impl RefreshPolicy {
    /// Whether the stored credential is returned if the refresh fails.
    fn takes_old(self) -> bool {
        matches!(self, Self::Within(_))
    }
}

/// How often one caller redeems, if the row changes each time.
const CLAIMS: usize = 3;

/// `POST /api/integrations/:id/refresh`
pub async fn refresh(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let asker = Actor {
        caller: context.principal(Scope::ConnectionsWrite).await?.caller,
        reason: "refresh",
    };
    context.no_body().await?;
    let standing = renew(context, id, RefreshPolicy::Now, &asker).await?;
    let answer = json!({"refreshed": standing.settled, "expires_at": standing.expires_at, "status": standing.status});
    Ok(Response::json(200, &answer))
}

/// Refreshes a credential according to the policy, or waits for a refresh that is already running.
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
            caller: asker.caller,
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
                    caller: asker.caller,
                };
                if let Err(error) = task
                    .prepare_sealing(iter::once(claim.organization_id))
                    .await
                {
                    let released = Redeemed::fault(&claim, Fault::Released);
                    settle(task, redeemer, vec![released]).await?;
                    return Err(error);
                }
                let done = redeem(task, redeemer, &claim).await;
                let fault = done.result.fault;
                let ends = settle(task, redeemer, vec![done]).await?;
                let end = ends.get(&id.0).copied();
                again(id, end, fault, wanted)?;
                if end == Some(End::Changed) {
                    // Another writer has just written the row: its credential is new.
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
            Claiming::Current(current) => {
                if let Some(rows) = &current.data_keys {
                    let organization = current.organization_id.0;
                    task.data_keys.add(organization, rows)?;
                }
                return Ok(current);
            }
            Claiming::Unknown => return Err(ClientError::UnknownIntegration.into()),
        }
    }
}

/// Whether the outcome of the caller's own claim is that the row must be read again.
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
        Some(End::BackedOff) if fault == Some(Fault::AppUnreadable) => {
            Err(ClientError::AppUnreadable.into())
        }
        Some(End::ReconnectRequired) => Ok(()),
        Some(End::BackedOff) => Err(Error::provider("token endpoint: the refresh failed")),
        Some(End::Gone) => Err(ClientError::UnknownIntegration.into()),
        Some(End::Journalled | End::Released | End::DataKeyDeleted) | None => {
            Err(Error::Database {
                fault: DatabaseFault::Save,
                detail: "settle_refreshes: the row may not be written now".to_owned(),
            })
        }
    }
}

fn busy() -> Error {
    Error::Database {
        fault: DatabaseFault::Timeout,
        detail: "another refresh of this integration takes too long".to_owned(),
    }
}
