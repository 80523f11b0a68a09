//! The schedule's deliveries: what the outbox holds is claimed in batches, sent side by side, and its ends are written together.
//!
//! At least once: whoever dies between a receiver's answer and the write leaves a claim that ends by itself, and the event is sent again
//! under the same id.

use super::schedule::Left;
use super::{Task, now, random_uuid};
use crate::credentials::{self, Row};
use crate::error::Result;
use crate::host::{self, Answer, log};
use crate::limits::retry_after;
use crate::supabase::functions::{
    ClaimDeliveries, ClaimingDeliveries, Delivery, ResealSecrets, Resealed, Resealing,
    SecretsFound, SecretsOn, SettleDeliveries, SettlingDeliveries, WebhookResult,
};
use crate::webhook::rounds::Rounds;
use crate::webhook::{message, receiver, secret};
use futures_util::{StreamExt, stream};
use std::cell::RefCell;
use uuid::Uuid;

/// How many are sent side by side. Cloudflare opens six connections an invocation; one is the database's.
const LANES: usize = 5;
/// How long a run goes on claiming, in milliseconds.
const CLAIM_FOR_MS: f64 = 30_000.0;
/// How many endpoints' secrets a run moves to the primary key.
const RESEALS: u32 = 200;

/// Delivers what is due, with at most so many requests.
pub async fn run(task: &Task, requests: u32) -> Result<Left> {
    let rounds = RefCell::new(Rounds::new(requests));
    if let Err(error) = reseal(task, &rounds).await {
        let detail = error.detail().unwrap_or_default();
        log::warning(
            &task.request_id,
            &format!("webhooks' secrets stay on an earlier key: {detail}"),
        );
    }
    let owner = random_uuid()?;
    let begun = host::now_ms();
    let mut is_first = true;
    loop {
        let limit = rounds.borrow().batch();
        if limit == 0 || host::now_ms() - begun > CLAIM_FOR_MS {
            return Ok(Left::More);
        }
        let call = ClaimDeliveries {
            p_owner: owner,
            p_limit: limit,
            p_skip: &rounds.borrow().passed_by(),
            p_sweep: is_first,
        };
        let ClaimingDeliveries::Claimed { deliveries } = task.call(&call).await?;
        rounds.borrow_mut().claimed(deliveries.len());
        // What a receiver that fails has waiting is the next run's: nothing that this one could go on with.
        if deliveries.is_empty() {
            return Ok(Left::Nothing);
        }
        let results: Vec<_> = stream::iter(deliveries)
            .map(|delivery| deliver(task, &rounds, delivery))
            .buffer_unordered(LANES)
            .collect()
            .await;
        settle(task, owner, &results).await?;
        is_first = false;
    }
}

/// Sends one event to one endpoint, unless that has failed too often in this run.
async fn deliver(task: &Task, rounds: &RefCell<Rounds>, delivery: Delivery) -> WebhookResult {
    if rounds.borrow().is_over(delivery.endpoint_id) {
        return WebhookResult::of(&delivery, Some("released"));
    }
    let result = attempt(task, &delivery).await;
    rounds
        .borrow_mut()
        .note(delivery.endpoint_id, result.error.is_none());
    result
}

async fn attempt(task: &Task, delivery: &Delivery) -> WebhookResult {
    let settings = task.settings;
    // Once more: what was allowed in another deployment need not be in this one.
    if receiver::check(&delivery.url, settings.webhook_loopback).is_err() {
        return WebhookResult::of(delivery, Some("refused"));
    }
    let place = Row::Endpoint(delivery.endpoint_id);
    let opened = credentials::open(
        &settings.ring,
        delivery.organization_id,
        place,
        &delivery.config,
    );
    let secrets = match opened {
        Ok(config) => secret::signing(&config, delivery.both),
        Err(error) => {
            let detail = error.detail().unwrap_or_default();
            log::warning(&task.request_id, &format!("not delivered: {detail}"));
            Vec::new()
        }
    };
    if secrets.is_empty() {
        return WebhookResult::of(delivery, Some("unreadable"));
    }
    let answer = host::send(&message::request(delivery, &secrets, now())).await;
    let limits = answer.as_ref().map(Answer::limits).unwrap_or_default();
    WebhookResult {
        retry_after: retry_after(&limits.retry_after, now()),
        ..message::read(delivery, answer.map(|answer| answer.status()))
    }
}

/// Writes the ends; a second time where the first was not answered, as that may be repeated and a delivery should not be.
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

/// Moves secrets to the primary key, those that are on a fallback: a rotation ends only when there are none (docs/rotation.md).
async fn reseal(task: &Task, rounds: &RefCell<Rounds>) -> Result<()> {
    let ring = &task.settings.ring;
    let fallbacks: Vec<_> = ring.kids().skip(1).map(|kid| kid.to_string()).collect();
    if fallbacks.is_empty() {
        return Ok(());
    }
    rounds.borrow_mut().spend();
    let call = SecretsOn {
        p_kids: &fallbacks,
        p_limit: RESEALS,
    };
    let SecretsFound::Found { endpoints } = task.call(&call).await?;
    let mut resealed = Vec::new();
    for endpoint in endpoints {
        let (organization, place) = (endpoint.organization_id, Row::Endpoint(endpoint.id));
        let moved = credentials::reseal(
            ring,
            organization,
            place,
            &endpoint.config,
            &mut host::random,
        );
        match moved {
            Ok(Some(config)) => resealed.push(Resealed {
                id: endpoint.id,
                read: endpoint.config,
                config,
            }),
            Ok(None) => {}
            Err(error) => log::warning(&task.request_id, error.detail().unwrap_or_default()),
        }
    }
    if !resealed.is_empty() {
        rounds.borrow_mut().spend();
        let call = ResealSecrets {
            p_resealed: &resealed,
        };
        let Resealing::Resealed = task.call(&call).await?;
    }
    Ok(())
}
