//! What the clock begins, once a minute: the parts run one after the other, each bounded, and what one leaves is the next run's.

use super::{Task, request_id};
use crate::error::{Error, Result};
use crate::host::log;
use crate::settings::{SettingError, Settings};

/// What a part leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(dead_code, reason = "the parts come")]
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
    // Each part: ended(&task, "name", part::run(&task, subrequests).await);
    let parts: [(&str, Result<Left>); 0] = [];
    for (name, outcome) in parts {
        ended(&task, name, outcome);
    }
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
