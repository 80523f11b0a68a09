//! Scheduled checks: claims due integrations in batches, checks them concurrently and writes the results in batches.

use crate::auth::caller::Caller;
use crate::context::Task;
use crate::db::{CheckClaim, CheckResult, ClaimDueChecks, ClaimingDueChecks};
use crate::error::{ClientError, Error, Result};
use crate::health::check::{Examined, REASON, examine, passed_by, released, settle};
use crate::health::verdict::{Reason, Status, Verdict};
use crate::host::{self, log};
use crate::http::LANES;
use crate::jobs::progress::Progress;
use crate::offer::Offer;
use crate::refresh::live_credential::SOON_SECONDS;
use crate::refresh::on_demand::Actor;
use crate::refresh::policy::{BackoffPolicy, RequestOutcome};
use catalogue::Endpoint;
use futures_util::{StreamExt, stream};
use std::cell::RefCell;

/// The number of rows in a claim.
const BATCH: u32 = 20;
/// How long a run claims, in milliseconds. The next run continues.
const CLAIM_FOR_MS: f64 = 20_000.0;

pub async fn run(task: &Task) -> Result<Progress> {
    let offered = task.settings.offers.iter().map(Offer::provider);
    let mut types: Vec<_> = offered.map(|provider| provider.kind.as_str()).collect();
    let patience = RefCell::new(BackoffPolicy::default());
    let begun = host::now_ms();
    loop {
        if host::now_ms() - begun > CLAIM_FOR_MS {
            return Ok(Progress::More);
        }
        types.retain(|kind| !patience.borrow().is_over(kind));
        let call = ClaimDueChecks {
            p_limit: BATCH,
            p_types: &types,
            p_soon: SOON_SECONDS,
            p_request_id: &task.request_id,
        };
        let ClaimingDueChecks::Claimed { claims } = task.call(&call).await?;
        if claims.is_empty() {
            return Ok(Progress::Nothing);
        }
        // If this fails, each check tries it, and fails alone.
        let _ = task
            .load_data_keys(claims.iter().map(|claim| claim.organization_id))
            .await;
        let lanes = stream::iter(&claims).map(|claim| lane(task, &patience, claim));
        let results: Vec<_> = lanes.buffer_unordered(LANES).collect().await;
        let reasons = results.iter().filter_map(|result| result.reason);
        let unreadable = reasons
            .filter(|reason| *reason == Reason::Unreadable)
            .count();
        if unreadable > 0 {
            let detail =
                format!("check: {unreadable} of the claimed integrations could not be read");
            log::warning(&task.request_id, &detail);
        }
        settle(task, &results, Caller::Worker).await?;
    }
}

/// Checks one row, unless its provider asked for a pause.
async fn lane(task: &Task, patience: &RefCell<BackoffPolicy>, claim: &CheckClaim) -> CheckResult {
    let (kind, client) = (&claim.integration_type, claim.client_key());
    if patience.borrow().is_over(&client) {
        return released(claim);
    }
    let asker = Actor {
        caller: Caller::Worker,
        reason: REASON,
    };
    let Examined { result, verdict } = match examine(task, claim, &asker).await {
        Ok(examined) => examined,
        // Nothing could be asked, so there is no verdict.
        Err(Error::Client(ClientError::NotCheckable)) => return passed_by(claim),
        Err(error) => {
            let detail = error.detail().unwrap_or_default();
            let detail = format!("integrations {}: not checked: {detail}", claim.id);
            log::warning(&task.request_id, &detail);
            return passed_by(claim);
        }
    };
    if let Some(health) = health(task, kind, verdict) {
        let organization = claim.organization_id;
        patience.borrow_mut().note(&client, organization, health);
    }
    result
}

/// What a verdict says about the provider. None if the provider was not asked, or if each user has a limit of their own.
fn health(task: &Task, kind: &str, verdict: Verdict) -> Option<RequestOutcome> {
    match (verdict.status, verdict.reason) {
        (_, Some(Reason::Unreadable | Reason::AppUnreadable)) => None,
        (_, Some(Reason::RateLimited)) => {
            let provider = task.settings.provider(kind)?;
            provider
                .pauses_after(Endpoint::Api)
                .map(|_| RequestOutcome::Pause)
        }
        (Status::Degraded, _) => Some(RequestOutcome::Failed),
        _ => Some(RequestOutcome::Good),
    }
}
