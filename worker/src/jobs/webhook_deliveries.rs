//! Webhook deliveries: claims a few events at a time from the outbox, sends them concurrently and writes the results as they come. A free lane
//! is filled at once, so no delivery waits for a slow receiver.
//!
//! At least once: if the worker dies between a receiver's response and the write, the claim expires and the event is sent again under the same
//! id.

use crate::context::Task;
use crate::credentials::{Row, Unopened};
use crate::db::{
    ClaimDeliveries, ClaimingDeliveries, Delivery, SettleDeliveries, SettlingDeliveries,
    WebhookResult,
};
use crate::error::{Error, Result};
use crate::host::now;
use crate::host::random_uuid;
use crate::host::{self, UpstreamResponse, log};
use crate::http::rate_limit::retry_after;
use crate::jobs::progress::Progress;
use crate::webhooks::lanes::Lanes;
use crate::webhooks::{message, secret, url_policy};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::VecDeque;
use std::mem;
use uuid::Uuid;

/// How long a run claims, in milliseconds. The next run continues.
const CLAIM_FOR_MS: f64 = 30_000.0;

pub async fn run(task: &Task) -> Result<Progress> {
    let run = Run {
        task,
        owner: random_uuid()?,
        begun_ms: host::now_ms(),
        lanes: Lanes::default(),
        waiting: VecDeque::new(),
        ended: Vec::new(),
        claim: Claim::Due,
        is_settling: false,
        failure: None,
    };
    run.finish().await
}

/// The result of one of the concurrent tasks.
enum Step {
    Claimed(Result<ClaimingDeliveries>),
    Sent {
        result: WebhookResult,
        was_slow: bool,
        took_ms: u32,
        /// The data key could not be read: a failure of the database, not of the receiver.
        failure: Option<Error>,
    },
    Settled(Result<()>),
}

/// The state of the claims.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Something may be due.
    Due,
    /// A claim is running.
    UnderWay,
    /// A claim is running, and a result was written that it may not have seen.
    Overtaken,
    /// Nothing was due. Once a delivery ends, something may be.
    Dry,
}

struct Run<'a> {
    task: &'a Task,
    owner: Uuid,
    begun_ms: f64,
    lanes: Lanes,
    /// Claimed, not yet sent.
    waiting: VecDeque<Delivery>,
    /// Ended, not yet written.
    ended: Vec<WebhookResult>,
    claim: Claim,
    is_settling: bool,
    failure: Option<Error>,
}

impl<'a> Run<'a> {
    async fn finish(mut self) -> Result<Progress> {
        let mut steps: FuturesUnordered<LocalBoxFuture<'a, Step>> = FuturesUnordered::new();
        loop {
            self.send(&steps);
            self.settle(&steps);
            self.claim(&steps);
            let Some(step) = steps.next().await else {
                break;
            };
            self.note(step);
        }
        match self.failure {
            Some(error) => Err(error),
            // Deliveries of a failing or slow receiver are left to the next run: this one would not send them.
            None if self.claim == Claim::Dry => Ok(Progress::Nothing),
            None => Ok(Progress::More),
        }
    }

    /// Fills the free lanes. Claimed deliveries of a receiver that has failed or was slow since are given back.
    fn send(&mut self, steps: &FuturesUnordered<LocalBoxFuture<'a, Step>>) {
        while self.lanes.is_free()
            && let Some(delivery) = self.waiting.pop_front()
        {
            if self.lanes.gives_back(delivery.endpoint_id, delivery.slow) {
                self.lanes.ended(delivery.slow);
                self.ended
                    .push(WebhookResult::of(&delivery, Some("released")));
                continue;
            }
            self.lanes.taken();
            let task = self.task;
            let sent = async move {
                let begun = host::now_ms();
                let (result, failure) = match attempt(task, &delivery).await {
                    Ok(result) => (result, None),
                    Err(error) => (WebhookResult::of(&delivery, Some("released")), Some(error)),
                };
                let took_ms = milliseconds(host::now_ms() - begun);
                Step::Sent {
                    result: WebhookResult {
                        took_ms: Some(took_ms),
                        ..result
                    },
                    was_slow: delivery.slow,
                    took_ms,
                    failure,
                }
            };
            steps.push(sent.boxed_local());
        }
    }

    /// Writes the results, one request after the other. The slower the database, the larger the batches.
    fn settle(&mut self, steps: &FuturesUnordered<LocalBoxFuture<'a, Step>>) {
        if self.is_settling || self.ended.is_empty() {
            return;
        }
        self.is_settling = true;
        let (task, owner, results) = (self.task, self.owner, mem::take(&mut self.ended));
        steps.push(async move { Step::Settled(settle(task, owner, &results).await) }.boxed_local());
    }

    /// Claims as many as the lanes have room for, after the results are written: then the database knows which receivers are slow.
    fn claim(&mut self, steps: &FuturesUnordered<LocalBoxFuture<'a, Step>>) {
        let is_late = host::now_ms() - self.begun_ms > CLAIM_FOR_MS;
        if self.claim != Claim::Due || self.is_settling || is_late || self.failure.is_some() {
            return;
        }
        let Some(room) = self.lanes.room(self.waiting.len()) else {
            return;
        };
        self.claim = Claim::UnderWay;
        let (task, owner, skip) = (self.task, self.owner, self.lanes.passed_by());
        let claimed = async move {
            let call = ClaimDeliveries {
                p_owner: owner,
                p_limit: room.limit,
                p_slow: room.slow,
                p_skip: &skip,
            };
            let claimed = task.call(&call).await;
            if let Ok(ClaimingDeliveries::Claimed { deliveries }) = &claimed {
                // If this fails, each delivery tries it, and fails alone.
                let organizations = deliveries.iter().map(|delivery| delivery.organization_id);
                let _ = task.load_data_keys(organizations).await;
            }
            Step::Claimed(claimed)
        };
        steps.push(claimed.boxed_local());
    }

    fn note(&mut self, step: Step) {
        match step {
            Step::Claimed(Ok(ClaimingDeliveries::Claimed { deliveries })) => {
                let is_dry = deliveries.is_empty() && self.claim == Claim::UnderWay;
                self.claim = if is_dry { Claim::Dry } else { Claim::Due };
                for delivery in &deliveries {
                    self.lanes.claimed(delivery.slow);
                }
                self.waiting.extend(deliveries);
            }
            Step::Sent {
                result,
                was_slow,
                took_ms,
                failure,
            } => {
                self.lanes.left();
                self.lanes.ended(was_slow);
                match failure {
                    Some(error) => self.failure = Some(error),
                    None => self
                        .lanes
                        .note(result.endpoint_id, result.error.is_none(), took_ms),
                }
                self.ended.push(result);
            }
            Step::Settled(Ok(())) => {
                self.is_settling = false;
                self.claim = match self.claim {
                    Claim::Due | Claim::Dry => Claim::Due,
                    Claim::UnderWay | Claim::Overtaken => Claim::Overtaken,
                };
            }
            Step::Settled(Err(error)) | Step::Claimed(Err(error)) => {
                self.is_settling = false;
                self.failure = Some(error);
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the float saturates"
)]
fn milliseconds(took: f64) -> u32 {
    took as u32
}

async fn attempt(task: &Task, delivery: &Delivery) -> Result<WebhookResult> {
    let settings = task.settings;
    // Checked again: another deployment may have allowed the URL.
    if url_policy::check(&delivery.url, settings.webhook_loopback).is_err() {
        return Ok(WebhookResult::of(delivery, Some("refused")));
    }
    let place = Row::Endpoint(delivery.endpoint_id);
    let opened = task
        .open(delivery.organization_id, place, &delivery.config)
        .await?;
    let secrets = match opened {
        Ok(config) => secret::signing(&config, delivery.both),
        Err(Unopened { detail, .. }) => {
            log::warning(&task.request_id, &format!("not delivered: {detail}"));
            Vec::new()
        }
    };
    if secrets.is_empty() {
        return Ok(WebhookResult::of(delivery, Some("unreadable")));
    }
    let answer = host::send(&message::request(delivery, &secrets, now())).await;
    let limits = answer
        .as_ref()
        .map(UpstreamResponse::limits)
        .unwrap_or_default();
    Ok(WebhookResult {
        retry_after: retry_after(&limits.retry_after, now()),
        ..message::read(delivery, answer.map(|answer| answer.status()))
    })
}

/// Writes the results, twice if the first write got no response: writing again is harmless, sending again is not.
async fn settle(task: &Task, owner: Uuid, results: &[WebhookResult]) -> Result<()> {
    let call = SettleDeliveries {
        p_owner: owner,
        p_results: results,
    };
    let SettlingDeliveries::Settled = match task.call(&call).await {
        Ok(settled) => settled,
        Err(_) => task.call(&call).await?,
    };
    Ok(())
}
