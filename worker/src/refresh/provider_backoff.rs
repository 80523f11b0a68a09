//! Backoff from a provider: after a rate-limit response, the integration that got it sends no requests for a while. If several organizations got
//! one, no integration of the type does.

use crate::context::Task;
use crate::db::{PauseProvider, Pausing};
use crate::host::log;
use crate::host::now;
use crate::http::rate_limit::Limits;
use crate::ids::IntegrationId;
use catalogue::{Endpoint, Provider};

/// Stores the pause that a response asked for, so that nothing it covers is claimed until then. Returns its length in seconds. If the write fails,
/// the next request gets the same response.
pub async fn note(
    task: &Task,
    id: IntegrationId,
    provider: &Provider,
    endpoint: Endpoint,
    status: u16,
    limits: &Limits,
) -> Option<u32> {
    let seconds = limits.pause(status, now())?;
    let call = PauseProvider {
        p_id: id,
        p_endpoint: endpoint,
        p_seconds: seconds,
        p_organizations: provider.pauses_after(endpoint),
    };
    let kind = &provider.kind;
    let detail = match task.call(&call).await {
        Ok(Pausing::Paused | Pausing::Unknown) => {
            format!("integrations {id}: {kind} wants no requests for {seconds} s")
        }
        Ok(Pausing::TypePaused) => {
            format!("{kind} wants no requests for {seconds} s, of several organizations")
        }
        Err(error) => format!(
            "the pause that {kind} wants could not be written: {}",
            error.detail().unwrap_or_default()
        ),
    };
    log::warning(&task.request_id, &detail);
    Some(seconds)
}
