//! The schedule's checks: what is due is claimed in batches, checked side by side, and written together.

use super::Task;
use super::check::{Examined, REASON, examine, passed_by, released, settle};
use super::credential::SOON_SECONDS;
use super::refresh::Asker;
use super::schedule::Left;
use crate::error::{Error, Refusal, Result};
use crate::health::{Reason, Status, Verdict};
use crate::host::{self, log};
use crate::offer::Offer;
use crate::refresh::{Health, Patience};
use crate::supabase::functions::{CheckClaim, CheckResult, ClaimDueChecks, ClaimingDueChecks};
use futures_util::StreamExt;
use futures_util::stream;
use std::cell::RefCell;

/// How many checks run side by side. Cloudflare opens six connections an invocation; one is the database's.
const LANES: usize = 5;
/// How many rows a claim asks for.
const BATCH: u32 = 20;
/// What a check may send at the most: with a credential that ends soon and is refused all the same, two refreshes (a claim, the
/// redemption, its write, and a claim that reads) and two questions.
const ROW: u32 = 10;
/// What a batch sends besides: its claim and its verdicts.
const SHARED: u32 = 2;
/// How long the checks go on claiming, in milliseconds; the next run goes on.
const CLAIM_FOR_MS: f64 = 20_000.0;

/// Checks what is due, with at most so many requests.
pub async fn run(task: &Task, requests: u32) -> Result<Left> {
    let offered = task.settings.offers.iter().map(Offer::provider);
    let mut types: Vec<_> = offered.map(|provider| provider.kind.as_str()).collect();
    let patience = RefCell::new(Patience::default());
    let begun = host::now_ms();
    let mut left = requests;
    loop {
        let limit = (left.saturating_sub(SHARED) / ROW).min(BATCH);
        if limit == 0 || host::now_ms() - begun > CLAIM_FOR_MS {
            return Ok(Left::More);
        }
        types.retain(|kind| !patience.borrow().is_over(kind));
        let call = ClaimDueChecks {
            p_limit: limit,
            p_types: &types,
            p_soon: SOON_SECONDS,
            p_request_id: &task.request_id,
        };
        let ClaimingDueChecks::Claimed { claims } = task.call(&call).await?;
        if claims.is_empty() {
            return Ok(Left::Nothing);
        }
        let lanes = stream::iter(&claims).map(|claim| lane(task, &patience, claim));
        let done: Vec<_> = lanes.buffer_unordered(LANES).collect().await;
        let sent: u32 = done.iter().map(|(_, sent)| sent).sum();
        let is_unreadable =
            |(result, _): &&(CheckResult, u32)| result.reason == Some(Reason::Unreadable);
        let unreadable = done.iter().filter(is_unreadable).count();
        if unreadable > 0 {
            let detail =
                format!("check: {unreadable} of the claimed integrations could not be read");
            log::warning(&task.request_id, &detail);
        }
        let results: Vec<_> = done.into_iter().map(|(result, _)| result).collect();
        settle(task, &results, None).await?;
        left = left.saturating_sub(SHARED + sent);
    }
}

/// Checks one row, unless its provider wants no more; says what it may have sent.
async fn lane(task: &Task, patience: &RefCell<Patience>, claim: &CheckClaim) -> (CheckResult, u32) {
    let kind = &claim.integration_type;
    if patience.borrow().is_over(kind) {
        return (released(claim), 0);
    }
    let asker = Asker {
        user: None,
        reason: REASON,
    };
    let Examined {
        result,
        verdict,
        was_plain,
    } = match examine(task, claim, &asker).await {
        Ok(examined) => examined,
        // Nothing can be asked, so there is nothing to say of it.
        Err(Error::Caller(Refusal::NotCheckable)) => return (passed_by(claim), ROW),
        Err(error) => {
            let detail = error.detail().unwrap_or_default();
            let detail = format!("integrations {}: not checked: {detail}", claim.id);
            log::warning(&task.request_id, &detail);
            return (passed_by(claim), ROW);
        }
    };
    if let Some(health) = health(verdict) {
        patience.borrow_mut().note(kind, health);
    }
    (result, if was_plain { 1 } else { ROW })
}

/// What a verdict says of the provider's health; None: it was not asked.
fn health(verdict: Verdict) -> Option<Health> {
    match (verdict.status, verdict.reason) {
        (_, Some(Reason::Unreadable)) => None,
        (_, Some(Reason::RateLimited)) => Some(Health::Pause),
        (Status::Degraded, _) => Some(Health::Failed),
        _ => Some(Health::Good),
    }
}
