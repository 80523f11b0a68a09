//! The job of the one-minute cron trigger: claims runs and works on them concurrently, until nothing is due or the time is over. If the
//! deployment has a queue, it shares out the rest: each message starts an invocation that does the same.

use crate::db::{Claim, ClaimScanRuns, Claiming};
use crate::host::{self, Queue, log};
use crate::run::{self, Ended, Task};
use crate::settings::Settings;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use platform::data_keys::DataKeys;
use platform::settings::SettingError;
use std::collections::VecDeque;
use std::pin::Pin;

/// How many runs are processed at the same time. Cloudflare opens six connections for an invocation; one is the database's.
const LANES: usize = 5;
/// How long an invocation claims runs, in seconds. Afterwards it only completes the slices of those it has.
const CLAIM_FOR: i64 = 40;
/// A run whose claim is older than this, in seconds, is left to its next claim, because a slice must fit into the rest of the claim.
const CLAIM_AGE: i64 = 90;
/// How many invocations share the runs that this one leaves.
const HELPERS: usize = 20;

/// How many ended runs may wait for the database, while the lanes continue.
const ENDS: usize = 5;

enum Event<'a> {
    Claimed(Option<Vec<Claim>>),
    Worked(Option<Ended<'a>>),
    Written,
}

pub async fn run(settings: &'static Result<Settings, SettingError>, queue: Option<Queue>) {
    let request_id = host::request_id();
    let (settings, owner) = match (settings, host::random_uuid()) {
        (Ok(settings), Some(owner)) => (settings, owner),
        (Err(SettingError(detail)), _) => return log::failure(&request_id, detail),
        (_, None) => return log::failure(&request_id, "no random bytes"),
    };
    let task = Task {
        settings,
        request_id,
        owner,
        data_keys: DataKeys::default(),
    };
    if work(&task).await {
        let outcome = match queue {
            Some(queue) if queue.send(HELPERS).await => return,
            Some(_) => "and the queue did not take it; the next goes on",
            None => "the next goes on",
        };
        let detail = format!("there is more to scan than one run has time for; {outcome}");
        log::warning(&task.request_id, &detail);
    }
}

/// Returns whether something may be left.
async fn work(task: &Task) -> bool {
    let begun = host::now();
    let mut active: FuturesUnordered<Pin<Box<dyn Future<Output = Event<'_>> + '_>>> =
        FuturesUnordered::new();
    let mut waiting: VecDeque<(Claim, i64)> = VecDeque::new();
    let (mut lanes, mut ends, mut is_claiming, mut is_empty) = (0, 0, false, false);
    loop {
        while lanes < LANES && ends < ENDS {
            let Some((claim, claimed_at)) = waiting.pop_front() else {
                break;
            };
            if host::now() - claimed_at <= CLAIM_AGE {
                lanes += 1;
                active.push(Box::pin(async {
                    Event::Worked(run::work(task, claim).await)
                }));
            }
        }
        let is_over = host::now() - begun >= CLAIM_FOR;
        if lanes < LANES && waiting.is_empty() && !is_claiming && !is_empty && !is_over {
            is_claiming = true;
            // Two for each free lane. With one, an organization's backlog would be claimed before anybody else's.
            let limit = 2 * (LANES - lanes);
            active.push(Box::pin(
                async move { Event::Claimed(claim(task, limit).await) },
            ));
        }
        match active.next().await {
            Some(Event::Worked(ended)) => {
                lanes -= 1;
                if let Some(ended) = ended {
                    ends += 1;
                    active.push(Box::pin(async {
                        ended.write().await;
                        Event::Written
                    }));
                }
            }
            Some(Event::Written) => ends -= 1,
            Some(Event::Claimed(claims)) => {
                let now = host::now();
                let claims = claims.unwrap_or_default();
                is_claiming = false;
                is_empty = claims.is_empty();
                waiting.extend(claims.into_iter().map(|claim| (claim, now)));
            }
            None => return !is_empty,
        }
    }
}

/// None: the database does not answer. The next run of the schedule tries again.
async fn claim(task: &Task, limit: usize) -> Option<Vec<Claim>> {
    let call = ClaimScanRuns {
        p_owner: task.owner,
        p_limit: limit,
        p_types: &checks::types(),
        p_soon: run::SOON_SECONDS,
        p_request_id: &task.request_id,
    };
    match task.call(&call).await {
        Ok(Claiming::Claimed { claims }) => {
            let organizations: Vec<_> = claims.iter().map(|claim| claim.organization_id).collect();
            // If this fails, each run tries it, and fails alone.
            let _ = task.data_keys.load(task, &organizations).await;
            Some(claims)
        }
        Err(error) => {
            log::failure(&task.request_id, &error.detail);
            None
        }
    }
}
