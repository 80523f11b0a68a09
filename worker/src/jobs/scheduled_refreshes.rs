//! Claims expiring tokens in batches, refreshes them concurrently and writes the results in batches.

use crate::auth::caller::Caller;
use crate::context::Task;
use crate::db::{Claim, ClaimDueRefreshes, ClaimingDue, Fault};
use crate::error::Result;
use crate::host::random_uuid;
use crate::host::{self, log};
use crate::http::LANES;
use crate::jobs::progress::Progress;
use crate::offer::Offer;
use crate::refresh::policy::{BackoffPolicy, RequestOutcome, START_WITHIN_MS};
use crate::refresh::refresh_grant::{Redeemed, Redeemer, redeem, settle};
use catalogue::Endpoint;
use futures_channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures_util::future::join3;
use futures_util::{SinkExt, StreamExt};
use std::cell::{Cell, RefCell};
use uuid::Uuid;

/// Tokens that expire within this number of seconds are refreshed. Several runs come before the expiry, even if one fails.
const HORIZON_SECONDS: u32 = 600;
/// The number of rows in a claim.
const BATCH: u32 = 100;
/// How many claimed rows may wait for a lane: enough for the lanes while the next batch is claimed.
const AHEAD: usize = 40;
/// How long to wait before writing, to fill the batch, in milliseconds. A request per row would halve a run's throughput. Not more than a round
/// trip, because unwritten results are lost if the worker dies.
const GATHER_MS: u32 = 20;
/// How long a run claims, in milliseconds. The next run continues.
const CLAIM_FOR_MS: f64 = 40_000.0;

/// A claimed row, and when it was claimed.
struct Waiting {
    claim: Claim,
    since_ms: f64,
}

pub async fn run(task: &Task) -> Result<Progress> {
    let run = Run {
        task,
        owner: random_uuid()?,
        patience: RefCell::default(),
        unreadable: Cell::new(0),
    };
    let (claims, claimed) = mpsc::channel(AHEAD);
    let (ends, ended) = mpsc::unbounded();
    let lanes = async {
        // Owned here, so that the writer ends with the lanes.
        let ends = ends;
        claimed
            .for_each_concurrent(LANES, |waiting| run.lane(waiting, &ends))
            .await;
    };
    let (left, (), ()) = join3(run.feed(claims), lanes, run.write(ended)).await;
    let unreadable = run.unreadable.get();
    if unreadable > 0 {
        let detail = format!("refresh: {unreadable} of the claimed integrations could not be read");
        log::warning(&task.request_id, &detail);
    }
    left
}

struct Run<'a> {
    task: &'a Task,
    owner: Uuid,
    patience: RefCell<BackoffPolicy>,
    /// The number of claimed rows that could not be read.
    unreadable: Cell<u32>,
}

impl Run<'_> {
    fn redeemer(&self) -> Redeemer {
        Redeemer {
            owner: self.owner,
            caller: Caller::Worker,
        }
    }

    /// What a requested pause says about the provider: nothing if each user has a limit of their own.
    fn pause(&self, kind: &str) -> Option<RequestOutcome> {
        let provider = self.task.settings.provider(kind)?;
        provider.pauses_after(Endpoint::Token)?;
        Some(RequestOutcome::Pause)
    }

    /// Claims until nothing is due or the time is up.
    async fn feed(&self, mut claims: mpsc::Sender<Waiting>) -> Result<Progress> {
        let settings = self.task.settings;
        let offered = settings.offers.iter().map(Offer::provider);
        let mut types: Vec<_> = offered.map(|provider| provider.kind.as_str()).collect();
        let begun = host::now_ms();
        loop {
            if host::now_ms() - begun > CLAIM_FOR_MS {
                return Ok(Progress::More);
            }
            types.retain(|kind| !self.patience.borrow().is_over(kind));
            let call = ClaimDueRefreshes {
                p_owner: self.owner,
                p_limit: BATCH,
                p_within: HORIZON_SECONDS,
                p_types: &types,
                p_request_id: &self.task.request_id,
            };
            let since_ms = host::now_ms();
            let ClaimingDue::Claimed { claims: batch } = self.task.call(&call).await?;
            if batch.is_empty() {
                return Ok(Progress::Nothing);
            }
            // If this fails, each refresh tries it, and fails alone.
            let organizations = batch.iter().map(|claim| claim.organization_id);
            let _ = self.task.prepare_sealing(organizations).await;
            for claim in batch {
                // This ends the lanes.
                let _ = claims.send(Waiting { claim, since_ms }).await;
            }
        }
    }

    /// Refreshes one row, unless its lease might expire before the response, or its provider asked for a pause.
    async fn lane(&self, waiting: Waiting, ends: &UnboundedSender<Redeemed>) {
        let Waiting { claim, since_ms } = waiting;
        let (kind, client) = (&claim.integration_type, claim.client_key());
        let is_late = host::now_ms() - since_ms > START_WITHIN_MS;
        let redeemed = if is_late || self.patience.borrow().is_over(&client) {
            Redeemed::fault(&claim, Fault::Released)
        } else {
            redeem(self.task, self.redeemer(), &claim).await
        };
        if redeemed.result.fault == Some(Fault::Unreadable) {
            self.unreadable.set(self.unreadable.get() + 1);
        }
        let health = match redeemed.result.fault {
            _ if redeemed.result.retry_after.is_some() => self.pause(kind),
            Some(Fault::Refused | Fault::OutcomeUnknown) => Some(RequestOutcome::Failed),
            Some(Fault::InvalidGrant | Fault::InvalidClient) | None => Some(RequestOutcome::Good),
            // The provider was not asked.
            Some(
                Fault::Unreadable | Fault::AppUnreadable | Fault::NotRefreshable | Fault::Released,
            ) => None,
        };
        if let Some(health) = health {
            self.patience
                .borrow_mut()
                .note(&client, claim.organization_id, health);
        }
        // This ends the writer.
        let _ = ends.unbounded_send(redeemed);
    }

    /// Writes the results that have arrived, one request after the other. The slower the database, the larger the batches.
    async fn write(&self, ended: UnboundedReceiver<Redeemed>) {
        let mut batches = ended.ready_chunks(BATCH as usize);
        while let Some(batch) = batches.next().await {
            let count = batch.len();
            if let Err(error) = settle(self.task, self.redeemer(), batch).await {
                let detail = error.detail().unwrap_or_default();
                log::warning(
                    &self.task.request_id,
                    &format!("the ends of {count} refreshes could not be written: {detail}"),
                );
            }
            host::sleep(GATHER_MS).await;
        }
    }
}
