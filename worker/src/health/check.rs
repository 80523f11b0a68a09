//! Health checks: the worker sends the identity request with the live credential, and the response decides the integration's status.

use crate::auth::caller::Caller;
use crate::auth::service_key::Scope;
use crate::context::{Context, Task};
use crate::credentials::Unopened;
use crate::db::{
    CheckClaim, CheckEnd, CheckResult, ClaimCheck, ClaimingCheck, Health, SettleChecks,
    SettlingChecks,
};
use crate::error::{ClientError, DatabaseFault, Error, Result};
use crate::health::cron::Cron;
use crate::health::verdict::{Reason, Verdict, judge};
use crate::host::now;
use crate::host::{self, UpstreamResponse};
use crate::http::{HttpRequest, Response, SendError};
use crate::ids::IntegrationId;
use crate::oauth::identity::{self, Asked};
use crate::oauth::token;
use crate::oauth_apps::client;
use crate::offer::Offer;
use crate::refresh::live_credential::{self, Credential, SOON_SECONDS};
use crate::refresh::on_demand::Actor;
use crate::refresh::policy::waits;
use crate::refresh::provider_backoff;
use crate::refresh::refresh_grant::open;
use catalogue::{Endpoint, Provider};
use sealed::PlainConfig;
use std::collections::BTreeMap;
use uuid::Uuid;

/// How often one caller repeats a check if the row changes each time.
const CHECKS: usize = 3;

/// `POST /api/integrations/:id/check`
pub async fn check(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let caller = context.principal(Scope::ConnectionsWrite).await?.caller;
    context.no_body().await?;
    let health = checked(context, id, caller).await?;
    Ok(Response::json(200, &health))
}

/// Checks an integration after something else has changed it.
pub async fn by_itself(task: &Task, id: IntegrationId) {
    if let Err(error) = checked(task, id, Caller::Worker).await {
        let detail = error.detail().unwrap_or_else(|| error.message());
        let detail = format!("integrations {id}: not checked: {detail}");
        host::log::warning(&task.request_id, &detail);
    }
}

/// Runs the check, or waits for one that is already running. A recent result is reused.
async fn checked(task: &Task, id: IntegrationId, caller: Caller) -> Result<Health> {
    let call = ClaimCheck {
        p_id: id,
        caller,
        p_soon: SOON_SECONDS,
        p_request_id: &task.request_id,
    };
    let mut waits = waits();
    let mut checks = 0;
    loop {
        match task.call(&call).await? {
            ClaimingCheck::Claimed(_) if checks == CHECKS => return Err(busy()),
            ClaimingCheck::Claimed(claim) => {
                checks += 1;
                match settled(task, &claim, caller).await? {
                    Some(CheckEnd::Checked(health)) => return Ok(health),
                    Some(CheckEnd::Changed) => {}
                    Some(CheckEnd::Gone) => return Err(ClientError::UnknownIntegration.into()),
                    Some(CheckEnd::Released | CheckEnd::Busy) | None => return Err(busy()),
                }
            }
            ClaimingCheck::Recent(health) => return Ok(health),
            ClaimingCheck::Busy => host::sleep(waits.next().ok_or_else(busy)?).await,
            ClaimingCheck::Paused { seconds } => {
                return Err(ClientError::ProviderPaused { seconds }.into());
            }
            ClaimingCheck::Unknown => return Err(ClientError::UnknownIntegration.into()),
        }
    }
}

/// Runs a claimed check and settles it. If it could not run, the claim is given back.
async fn settled(task: &Task, claim: &CheckClaim, caller: Caller) -> Result<Option<CheckEnd>> {
    let asker = Actor {
        caller,
        reason: REASON,
    };
    let (result, failure) = match examine(task, claim, &asker).await {
        Ok(examined) => (examined.result, None),
        Err(error) => (released(claim), Some(error)),
    };
    let id = result.id.0;
    let ends = settle(task, &[result], caller).await;
    match failure {
        Some(error) => Err(error),
        None => Ok(ends?.remove(&id)),
    }
}

/// The reason in the event `opened`.
pub const REASON: &str = "check";

pub struct Examined {
    pub result: CheckResult,
    pub verdict: Verdict,
}

/// Runs a claimed check: sends the request with the credential, and if it is rejected, again with a fresh one.
pub async fn examine(task: &Task, claim: &CheckClaim, asker: &Actor<'_>) -> Result<Examined> {
    let kind = &claim.integration_type;
    let provider = task.settings.provider(kind);
    let provider = provider.ok_or(ClientError::UnknownProvider)?;
    let app = claim.oauth_app.as_ref();
    let offer = match client::offer(task, kind, claim.organization_id, app).await {
        Ok(offer) => offer,
        Err(Error::Client(ClientError::AppUnreadable)) => {
            let verdict = Verdict::degraded(Reason::AppUnreadable);
            return Ok(examined(provider, claim, claim.version.clone(), verdict));
        }
        Err(error) => return Err(error),
    };
    let held = match &claim.config {
        Some(config) => Credential {
            config: open(task, claim.id, claim.organization_id, config).await?,
            version: claim.version.clone(),
            is_fresh: false,
        },
        None => live_credential::current(task, claim.id, asker).await?,
    };
    let verdict = ask(task, &offer, claim, &held.config).await?;
    if !verdict.is_refusal() || held.is_fresh {
        return Ok(examined(provider, claim, held.version, verdict));
    }
    let (version, verdict) = match live_credential::fresh(task, claim.id, asker).await {
        Ok(fresh) if fresh.is_fresh && fresh.version != held.version => {
            let verdict = ask(task, &offer, claim, &fresh.config).await?;
            (fresh.version, verdict)
        }
        // The refresh has ended the grant, or this is the fresh token.
        Ok(fresh) => (fresh.version, verdict),
        Err(Error::Client(ClientError::NotRefreshable)) => (held.version, verdict),
        // The refresh failed, so nobody knows whether the grant has ended.
        Err(Error::Provider { .. }) => (held.version, Verdict::degraded(Reason::RefreshFailed)),
        Err(Error::Client(ClientError::ProviderPaused { .. })) => {
            (held.version, Verdict::degraded(Reason::RateLimited))
        }
        Err(error) => return Err(error),
    };
    Ok(examined(provider, claim, version, verdict))
}

async fn ask(
    task: &Task,
    offer: &Offer,
    claim: &CheckClaim,
    config: &Result<PlainConfig, Unopened>,
) -> Result<Verdict> {
    let config = match config {
        Ok(config) => config,
        Err(Unopened { detail, .. }) => {
            host::log::warning(&task.request_id, &format!("not checked: {detail}"));
            return Ok(Verdict::degraded(Reason::Unreadable));
        }
    };
    let account = claim.account_id.as_deref();
    let of_account = account.and_then(|id| identity::account_request(offer, config, id));
    if let Some(request) = of_account {
        let (answer, is_paused) = send(task, offer, claim, &request).await;
        // The account does not exist any more, or the grant does not cover it. The list of accounts decides.
        let is_missing = |answer: &UpstreamResponse| matches!(answer.status(), 403 | 404);
        if is_paused || !answer.as_ref().is_ok_and(is_missing) {
            let answer = answer.map(|answer| answer.read());
            return Ok(judge(offer, config, account, answer, Asked::One, is_paused));
        }
    }
    let request = identity::request(offer, config).ok_or(ClientError::NotCheckable)?;
    let (answer, is_paused) = send(task, offer, claim, &request).await;
    let answer = answer.map(|answer| answer.read());
    Ok(judge(offer, config, account, answer, Asked::All, is_paused))
}

/// Sends the request. Returns whether the response asked for a pause.
async fn send(
    task: &Task,
    offer: &Offer,
    claim: &CheckClaim,
    request: &HttpRequest,
) -> (Result<UpstreamResponse, SendError>, bool) {
    let answer = host::send(request).await;
    let Ok(known) = &answer else {
        return (answer, false);
    };
    let (status, limits) = (known.status(), known.limits());
    let provider = offer.provider();
    let pause =
        provider_backoff::note(task, claim.id, provider, Endpoint::Api, status, &limits).await;
    (answer, pause.is_some())
}

fn examined(
    provider: &Provider,
    claim: &CheckClaim,
    version: String,
    verdict: Verdict,
) -> Examined {
    let result = CheckResult {
        version,
        status: Some(verdict.status),
        reason: verdict.reason,
        forbidden_days: Some(provider.forbidden_days),
        ..passed_by(claim)
    };
    Examined { result, verdict }
}

/// A check that did not run. The schedule decides when it is due again.
pub fn passed_by(claim: &CheckClaim) -> CheckResult {
    let cron = claim.scan_schedule.as_deref().map(Cron::parse);
    // Another writer may have stored something that is not a schedule. Then there is no next check.
    let next = cron.and_then(|cron| cron.ok()?.next(now()));
    CheckResult {
        schedule: claim.scan_schedule.clone(),
        next_check_at: next.map(token::timestamp),
        ..released(claim)
    }
}

/// A check that did not run and is still due.
pub fn released(claim: &CheckClaim) -> CheckResult {
    CheckResult {
        id: claim.id,
        version: claim.version.clone(),
        status: None,
        reason: None,
        forbidden_days: None,
        schedule: None,
        next_check_at: None,
    }
}

pub async fn settle(
    task: &Task,
    results: &[CheckResult],
    caller: Caller,
) -> Result<BTreeMap<Uuid, CheckEnd>> {
    let call = SettleChecks {
        p_results: results,
        caller,
        p_request_id: &task.request_id,
        p_scan_types: &checks::types(),
    };
    let SettlingChecks::Ended { ends } = task.call(&call).await?;
    Ok(ends)
}

fn busy() -> Error {
    Error::Database {
        fault: DatabaseFault::Timeout,
        detail: "another check of this integration takes too long".to_owned(),
    }
}
