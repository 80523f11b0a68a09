//! A provider that wants no requests for a while is left alone: by the integration that was told so, and, where several organizations were,
//! by all of its type.

use crate::context::Task;
use crate::db::{PauseProvider, Pausing};
use crate::host::log;
use crate::host::now;
use crate::http::rate_limit::Limits;
use crate::ids::IntegrationId;
use catalogue::{Endpoint, Provider};

/// Writes down the pause that an answer asked for, so that nothing is claimed until then for which it holds; answers how long it is, in
/// seconds. Where the write fails, the next request is told the same.
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
