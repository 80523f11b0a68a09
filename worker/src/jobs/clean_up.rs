//! The scheduled clean-up: deletes what has expired, in bounded calls.

use crate::context::Task;
use crate::db::{CleanUp, Cleaning};
use crate::error::Result;
use crate::host;
use crate::jobs::progress::Progress;

/// How long a run deletes, in milliseconds. The next run continues.
const CLEAN_FOR_MS: f64 = 5_000.0;

/// Deletes until nothing is left or the time is up.
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
    // Not shared among invocations: the next run is soon enough.
    Ok(Progress::Nothing)
}
