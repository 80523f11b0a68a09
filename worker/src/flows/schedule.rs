//! What the clock begins, once a minute: the parts run one after the other, each bounded, and what one leaves is the next run's. Where
//! the deployment has a queue, what is left is shared out instead: each of its messages is an invocation that runs one part, with
//! requests and connections of its own. A part claims what it does, so any number of runs at once do nothing twice.

use super::{Task, clean, delivery, request_id, revocations, rounds, sweep};
use crate::error::{Error, Result};
use crate::host::{Queue, log};
use crate::settings::{SettingError, Settings};

/// What a part leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing that is due.
    Nothing,
    /// Something for the next run: the part has used up what one run may take.
    More,
}

/// What there is to do in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Refresh,
    Check,
    Revoke,
    Webhooks,
    Clean,
}

// Cloudflare lets an invocation send 1,000 requests, ours to Supabase included. A hundred are left for what no part reckons with, such as
// a write that has to be repeated.
const REQUESTS: u32 = 900;

/// How many invocations share what a run has left: as many as a queue takes in one call. At some 450 refreshes each that is 45,000 a
/// minute. One that finds nothing left has sent a single request.
const HELPERS: usize = 100;

impl Part {
    const ALL: [Self; 5] = [
        Self::Refresh,
        Self::Revoke,
        Self::Check,
        Self::Webhooks,
        Self::Clean,
    ];

    /// What a message and the log call it.
    fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Check => "check",
            Self::Revoke => "revoke",
            Self::Webhooks => "webhooks",
            Self::Clean => "clean",
        }
    }

    /// Its share of the requests of a run that does all parts.
    fn share(self) -> u32 {
        match self {
            Self::Refresh => 450,
            Self::Check => 200,
            Self::Revoke => 50,
            Self::Webhooks | Self::Clean => 200,
        }
    }

    async fn run(self, task: &Task, requests: u32) -> Result<Left> {
        match self {
            Self::Refresh => sweep::run(task, requests).await,
            Self::Check => rounds::run(task, requests).await,
            Self::Revoke => revocations::run(task).await,
            Self::Webhooks => delivery::run(task).await,
            Self::Clean => clean::run(task).await,
        }
    }
}

/// Runs every part. One that fails does not keep the next from its turn.
pub async fn run(settings: &'static Result<Settings, SettingError>, queue: Option<Queue>) {
    let Some(task) = begin(settings) else { return };
    for part in Part::ALL {
        match part.run(&task, part.share()).await {
            Ok(Left::Nothing) => {}
            Ok(Left::More) => share_out(&task, part, queue.as_ref()).await,
            Err(error) => failed(&task.request_id, part.name(), &error),
        }
    }
}

/// Runs the part that a message of the queue names, with all that an invocation may take.
pub async fn help(settings: &'static Result<Settings, SettingError>, name: &str) {
    let Some(task) = begin(settings) else { return };
    match Part::ALL.into_iter().find(|part| part.name() == name) {
        // What it leaves is the clock's to share out.
        Some(part) => {
            if let Err(error) = part.run(&task, REQUESTS).await {
                failed(&task.request_id, part.name(), &error);
            }
        }
        // The queue is the deployment's own: another version has sent it.
        None => log::warning(&task.request_id, "queue: a message of another version"),
    }
}

async fn share_out(task: &Task, part: Part, queue: Option<&Queue>) {
    let name = part.name();
    let outcome = match queue {
        Some(queue) if queue.send(name, HELPERS).await => return,
        Some(_) => "and the queue did not take it; the next goes on",
        None => "the next goes on",
    };
    log::warning(
        &task.request_id,
        &format!("scheduled: {name} has more to do than one run may take; {outcome}"),
    );
}

fn begin(settings: &'static Result<Settings, SettingError>) -> Option<Task> {
    let request_id = request_id();
    match settings {
        Ok(settings) => Some(Task {
            settings,
            request_id,
        }),
        Err(SettingError(detail)) => {
            let detail = detail.clone();
            failed(&request_id, "settings", &Error::Us { detail });
            None
        }
    }
}

fn failed(request_id: &str, part: &str, error: &Error) {
    let (status, code, _) = error.answer();
    log::failure(
        request_id,
        &format!("scheduled: {part}"),
        status,
        code,
        error.detail(),
    );
}
