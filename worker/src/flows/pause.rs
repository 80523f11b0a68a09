//! A provider that wants no requests for a while is left alone by all: the limit is the app's.

use super::Task;
use crate::host::log;
use crate::supabase::functions::{PauseProvider, Pausing};

/// Writes down the pause that an answer asked for, so that nobody claims anything of this type until then. Where that fails, the next
/// request is told the same.
pub async fn note(task: &Task, kind: &str, seconds: Option<u32>) {
    let Some(seconds) = seconds else { return };
    // Whose credentials are their own has a limit of their own.
    if task.settings.client(kind).is_err() {
        return;
    }
    let call = PauseProvider {
        p_integration_type: kind,
        p_seconds: seconds,
    };
    let detail = match task.call(&call).await {
        Ok(Pausing::Paused) => format!("{kind} wants no requests for {seconds} s"),
        Err(error) => format!(
            "the pause that {kind} wants could not be written: {}",
            error.detail().unwrap_or_default()
        ),
    };
    log::warning(&task.request_id, &detail);
}
