//! Changes of an integration.

use crate::db::call::Call;
use crate::ids::{IntegrationId, UserId};
use crate::json::tagged;
use serde::Serialize;
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

tagged! {
    "outcome"
    /// What becomes of [`ChangeIntegration`].
    pub enum Changed {
        /// It is as wished.
        "changed" => Changed,
        /// Another integration of the type has the name.
        "name_taken" => NameTaken,
        /// It is gone, or is not the user's.
        "unknown" => Unknown,
    }
}

impl Call for ChangeIntegration<'_> {
    const NAME: &'static str = "change_integration";
    type Outcome = Changed;
}
