//! Changes of an integration.

use crate::auth::caller::Caller;
use crate::db::call::Call;
use crate::ids::IntegrationId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Changes an integration's name or schedule.
#[derive(Serialize)]
pub struct ChangeIntegration<'a> {
    pub p_id: IntegrationId,
    #[serde(flatten)]
    pub caller: Caller,
    /// The changes by column: `name`, `scan_schedule`, `next_check_at`.
    pub p_changes: &'a Map<String, Value>,
    /// The request's id, for the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`ChangeIntegration`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    Changed,
    /// Another integration of the type has the name.
    NameTaken,
    /// Not found, or not the user's.
    Unknown,
}

impl Call for ChangeIntegration<'_> {
    const NAME: &'static str = "change_integration";
    type Outcome = Changed;
}
