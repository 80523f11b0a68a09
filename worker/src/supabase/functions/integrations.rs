//! An integration that stands: opened, and deleted.

use super::Call;
use crate::ids::{IntegrationId, OrganizationId, UserId};
use serde::{Deserialize, Serialize};

/// An integration is read with its credentials, sealed.
#[derive(Serialize)]
pub struct FindIntegration {
    /// Which.
    pub p_id: IntegrationId,
    /// Who asks.
    pub p_user_id: UserId,
}

/// What becomes of [`FindIntegration`].
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Found {
    /// It is the user's to see.
    Found(Integration),
    /// It is not, or there is none.
    Unknown,
}

/// A row of `integrations`, as far as a disconnect needs it.
#[derive(Deserialize)]
pub struct Integration {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
    /// The config as it is stored; the source's writers may have left any JSON in it.
    pub config: serde_json::Value,
}

impl Call for FindIntegration {
    const NAME: &'static str = "find_integration";
    type Outcome = Found;
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

/// What becomes of [`DisconnectIntegration`].
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Disconnected {
    /// It is gone.
    Disconnected,
    /// It was already, or is not the user's.
    Unknown,
}

impl Call for DisconnectIntegration<'_> {
    const NAME: &'static str = "disconnect_integration";
    type Outcome = Disconnected;
}
