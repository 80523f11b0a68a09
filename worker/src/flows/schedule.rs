//! What the clock begins, once a minute: the parts run one after the other, each bounded, and what one leaves is the next run's.

use super::{Task, request_id, sweep};
use crate::error::{Error, Result};
use crate::host::log;
use crate::settings::{SettingError, Settings};

// Cloudflare lets an invocation send 1,000 requests, ours to Supabase included. Each part gets its share; a hundred are left for what
// no part reckons with, such as a write that has to be repeated.
const REFRESH_REQUESTS: u32 = 600;

/// What a part leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing that is due.
    Nothing,
    /// Something for the next run: the part has used up what one run may take.
    More,
}

/// Runs every part. One that fails does not keep the next from its turn.
pub async fn run(settings: &'static Result<Settings, SettingError>) {
    let task = match settings {
        Ok(settings) => Task {
            settings,
            request_id: request_id(),
        },
        Err(SettingError(detail)) => {
            let detail = detail.clone();
            return failed(&request_id(), "settings", &Error::Us { detail });
        }
    };
    ended(&task, "refresh", sweep::run(&task, REFRESH_REQUESTS).await);
}

fn ended(task: &Task, part: &str, outcome: Result<Left>) {
    match outcome {
        Ok(Left::Nothing) => {}
        Ok(Left::More) => log::warning(
            &task.request_id,
            &format!("scheduled: {part} has more to do than one run may take; the next goes on"),
        ),
        Err(error) => failed(&task.request_id, part, &error),
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
