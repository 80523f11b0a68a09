//! The jobs of the one-minute cron trigger. They run one after the other, each bounded, and the next run continues what one leaves. If the
//! deployment has a queue, each of its messages starts another invocation that runs one job, with connections of its own. A job claims its
//! work, so concurrent runs never do anything twice.

use crate::context::{Task, request_id};
use crate::error::{Error, Result};
use crate::host::{Queue, log};
use crate::jobs::progress::Progress;
use crate::jobs::{
    clean_up, revocations, scheduled_checks, scheduled_refreshes, secrets_rewrap,
    webhook_deliveries,
};
use crate::settings::Settings;
use platform::settings::SettingError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Refresh,
    Check,
    Revoke,
    Rewrap,
    Webhooks,
    Clean,
}

/// How many invocations share the remaining work: as many as one call of a queue can start. One that finds nothing left has sent a single
/// request.
const HELPERS: usize = 100;

impl Part {
    const ALL: [Self; 6] = [
        Self::Refresh,
        Self::Revoke,
        Self::Check,
        Self::Rewrap,
        Self::Webhooks,
        Self::Clean,
    ];

    /// The job's name in messages and in the log.
    fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Check => "check",
            Self::Revoke => "revoke",
            Self::Rewrap => "rewrap",
            Self::Webhooks => "webhooks",
            Self::Clean => "clean",
        }
    }

    async fn run(self, task: &Task) -> Result<Progress> {
        match self {
            Self::Refresh => scheduled_refreshes::run(task).await,
            Self::Check => scheduled_checks::run(task).await,
            Self::Revoke => revocations::run(task).await,
            Self::Rewrap => secrets_rewrap::run(task).await,
            Self::Webhooks => webhook_deliveries::run(task).await,
            Self::Clean => clean_up::run(task).await,
        }
    }
}

/// Runs every job. A failing job does not stop the next one.
pub async fn run(settings: &'static Result<Settings, SettingError>, queue: Option<Queue>) {
    let Some(task) = begin(settings) else { return };
    for part in Part::ALL {
        match part.run(&task).await {
            Ok(Progress::Nothing) => {}
            Ok(Progress::More) => share_out(&task, part, queue.as_ref()).await,
            Err(error) => failed(&task.request_id, part.name(), &error),
        }
    }
}

/// Runs the job that a message of the queue names.
pub async fn help(settings: &'static Result<Settings, SettingError>, name: &str) {
    let Some(task) = begin(settings) else { return };
    match Part::ALL.into_iter().find(|part| part.name() == name) {
        // Its own remaining work is left to the cron trigger.
        Some(part) => {
            if let Err(error) = part.run(&task).await {
                failed(&task.request_id, part.name(), &error);
            }
        }
        // The queue belongs to the deployment, so another version has sent the message.
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
        &format!("scheduled: {name} has more to do than one run has time for; {outcome}"),
    );
}

fn begin(settings: &'static Result<Settings, SettingError>) -> Option<Task> {
    let request_id = request_id();
    match settings {
        Ok(settings) => Some(Task::new(settings, request_id)),
        Err(wrong) => {
            failed(&request_id, "settings", &wrong.into());
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
