//! An integration that stands: opened, changed, and deleted.

use super::Call;
use crate::ids::{IntegrationId, OrganizationId, UserId};
use crate::json::{object, tagged};
use serde::Serialize;
use serde_json::{Map, Value};

/// An integration is read with its credentials, sealed.
#[derive(Serialize)]
pub struct FindIntegration<'a> {
    /// Which.
    pub p_id: IntegrationId,
    /// Who asks.
    pub p_user_id: UserId,
    /// What the credentials are opened for, for the event.
    pub p_reason: &'a str,
    /// For the event.
    pub p_request_id: &'a str,
}

tagged! {
    "outcome"
    /// What becomes of [`FindIntegration`].
    pub enum Found {
        /// It is the user's to see.
        "found" => Found(Integration),
        /// It is not, or there is none.
        "unknown" => Unknown,
    }
}

object! {
    /// A row of `integrations`, as far as a disconnect needs it.
    pub struct Integration {
        /// Whose it is.
        pub organization_id: OrganizationId,
        /// With which provider.
        pub integration_type: String,
        /// The config as it is stored; the source's writers may have left any JSON in it.
        pub config: Value,
        /// Which config that is: it may be another by the time the row is deleted.
        pub version: String,
    }
}

impl Call for FindIntegration<'_> {
    const NAME: &'static str = "find_integration";
    type Outcome = Found;
}

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

/// An integration is deleted.
#[derive(Serialize)]
pub struct DisconnectIntegration<'a> {
    /// Which.
    pub p_id: IntegrationId,
    /// Who deletes it.
    pub p_user_id: UserId,
    /// What the provider said to the revocation: `true`, `false` or `unsupported`.
    pub p_revoked: &'a str,
    /// For the event.
    pub p_request_id: &'a str,
}

tagged! {
    "outcome"
    /// What becomes of [`DisconnectIntegration`].
    pub enum Disconnected {
        /// It is gone.
        "disconnected" => Disconnected,
        /// It holds another credential by now; nothing was deleted.
        "changed" => Changed,
        /// It was already, or is not the user's.
        "unknown" => Unknown,
    }
}

impl Call for DisconnectIntegration<'_> {
    const NAME: &'static str = "disconnect_integration";
    type Outcome = Disconnected;
}

/// The same, if the credential is still the one that was read.
#[derive(Serialize)]
pub struct DisconnectAsRead<'a> {
    /// What is deleted.
    #[serde(flatten)]
    pub integration: DisconnectIntegration<'a>,
    /// Which credential was read, and revoked.
    pub p_version: &'a str,
}

impl Call for DisconnectAsRead<'_> {
    const NAME: &'static str = "disconnect_as_read";
    type Outcome = Disconnected;
}
