//! The schedule's clean-up: what has expired is deleted, in calls that are bounded each.

use crate::context::Task;
use crate::db::{CleanUp, Cleaning};
use crate::error::Result;
use crate::host;
use crate::jobs::progress::Progress;

/// How long a run goes on deleting, in milliseconds; the next run goes on.
const CLEAN_FOR_MS: f64 = 5_000.0;

/// Deletes until nothing is left to delete, or the time is up.
pub async fn run(task: &Task) -> Result<Progress> {
    let call = CleanUp {
        p_event_days: task.settings.event_retention_days,
    };
    let begun = host::now_ms();
    while host::now_ms() - begun < CLEAN_FOR_MS {
        let Cleaning::Cleaned { more } = task.call(&call).await?;
        if !more {
            break;
        }
    }
    // No reason to share it out: the next run is soon enough.
    Ok(Progress::Nothing)
}
