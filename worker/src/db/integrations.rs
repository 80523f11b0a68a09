//! Changes of an integration.

use crate::db::call::Call;
use crate::ids::{IntegrationId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An integration's name or schedule is changed.
#[derive(Serialize)]
pub struct ChangeIntegration<'a> {
    /// Which.
    pub p_id: IntegrationId,
    /// Who changes it.
    pub p_user_id: UserId,
    /// What changes, by column: `name`, `scan_schedule`, `next_check_at`.
    pub p_changes: &'a Map<String, Value>,
    /// For the event.
    pub p_request_id: &'a str,
}

/// What becomes of [`ChangeIntegration`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// It is as wished.
    Changed,
    /// Another integration of the type has the name.
    NameTaken,
    /// It is gone, or is not the user's.
    Unknown,
}

impl Call for ChangeIntegration<'_> {
    const NAME: &'static str = "change_integration";
    type Outcome = Changed;
}
