//! An organization's webhook endpoints and their secrets.

use crate::auth::caller::Caller;
use crate::db::call::Call;
use crate::ids::{EndpointId, OrganizationId};
use checks::Severity;
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An endpoint, as its members see it.
#[derive(Deserialize, Debug, Serialize)]
pub struct Endpoint {
    id: EndpointId,
    /// None: it receives the events of all organizations.
    organization_id: Option<OrganizationId>,
    url: String,
    events: Option<Vec<String>>,
    min_severity: Option<Severity>,
    enabled: bool,
    disabled_reason: Option<String>,
    previous_secret_ends_at: Option<String>,
    created_at: String,
}

#[derive(Serialize)]
pub struct CreateEndpoint<'a> {
    /// The endpoint's id, which its sealed secrets are bound to.
    pub p_id: EndpointId,
    #[serde(flatten)]
    pub caller: Caller,
    /// None: the events of all organizations.
    pub p_organization_id: Option<OrganizationId>,
    pub p_url: &'a str,
    /// The events that it receives; None: all.
    pub p_events: Option<&'a [EventType]>,
    /// Its secret, sealed.
    pub p_config: &'a StoredConfig,
    /// It hears of no finding below this.
    pub p_min_severity: Option<Severity>,
}

/// The outcome of [`CreateEndpoint`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Created {
    /// The credential as it is.
    Created {
        /// The credential as it is.
        endpoint: Endpoint,
    },
    /// The user is not a member of the organization.
    NotAMember,
    /// The organization has the maximum number of endpoints.
    TooMany,
}

impl Call for CreateEndpoint<'_> {
    const NAME: &'static str = "create_webhook_endpoint";
    type Outcome = Created;
}

/// The events of a connection and of its scans.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum EventType {
    #[serde(rename = "connection.created")]
    Created,
    /// It has another grant of the same account.
    #[serde(rename = "connection.reconnected")]
    Reconnected,
    #[serde(rename = "connection.refreshed")]
    Refreshed,
    #[serde(rename = "connection.refresh_failed")]
    RefreshFailed,
    /// Nobody knows whether its credential still works.
    #[serde(rename = "connection.degraded")]
    Degraded,
    #[serde(rename = "connection.reconnect_required")]
    ReconnectRequired,
    #[serde(rename = "connection.deleted")]
    Deleted,
    /// A scan found a fault.
    #[serde(rename = "finding.opened")]
    FindingOpened,
    /// A scan found it again.
    #[serde(rename = "finding.reopened")]
    FindingReopened,
    /// A scan proved that it is gone.
    #[serde(rename = "finding.resolved")]
    FindingResolved,
    /// A mute no longer covers an open finding.
    #[serde(rename = "finding.mute_ended")]
    FindingMuteEnded,
    /// A scan ended, and every check was judged.
    #[serde(rename = "assessment.completed")]
    AssessmentCompleted,
    /// A scan ended, and some checks could not be judged.
    #[serde(rename = "assessment.incomplete")]
    AssessmentIncomplete,
}

#[derive(Serialize)]
pub struct ChangeEndpoint<'a> {
    pub p_id: EndpointId,
    #[serde(flatten)]
    pub caller: Caller,
    /// The changes by column: `url`, `events`, `min_severity`, `enabled`.
    pub p_changes: &'a Map<String, Value>,
}

/// The outcome of [`ChangeEndpoint`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointChanged {
    Changed {
        endpoint: Endpoint,
    },
    /// Not found, or not the user's.
    Unknown,
}

impl Call for ChangeEndpoint<'_> {
    const NAME: &'static str = "change_webhook_endpoint";
    type Outcome = EndpointChanged;
}

#[derive(Serialize)]
pub struct DeleteEndpoint {
    pub p_id: EndpointId,
    #[serde(flatten)]
    pub caller: Caller,
}

/// The outcome of [`DeleteEndpoint`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointDeleted {
    /// The endpoint is deleted, with its deliveries.
    Deleted,
    /// Not found, or not the user's.
    Unknown,
}

impl Call for DeleteEndpoint {
    const NAME: &'static str = "delete_webhook_endpoint";
    type Outcome = EndpointDeleted;
}

/// Reads an endpoint's sealed secrets.
#[derive(Serialize)]
pub struct FindEndpoint {
    pub p_id: EndpointId,
    #[serde(flatten)]
    pub caller: Caller,
}

/// The outcome of [`FindEndpoint`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointFound {
    /// The user may see it.
    Found {
        /// The organization that the secrets are bound to.
        organization_id: OrganizationId,
        /// Its secrets, sealed.
        config: StoredConfig,
    },
    /// Not found, or the user may not see it.
    Unknown,
}

impl Call for FindEndpoint {
    const NAME: &'static str = "find_webhook_endpoint";
    type Outcome = EndpointFound;
}

#[derive(Serialize)]
pub struct ChangeSecret<'a> {
    pub p_id: EndpointId,
    #[serde(flatten)]
    pub caller: Caller,
    /// The secrets that were read.
    pub p_read: &'a StoredConfig,
    /// The new secrets, sealed.
    pub p_config: &'a StoredConfig,
}

/// The outcome of [`ChangeSecret`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretChanged {
    Rotated {
        endpoint: Endpoint,
    },
    /// The secrets have changed since; nothing was written.
    Changed,
    /// Not found, or not the user's.
    Unknown,
}

impl Call for ChangeSecret<'_> {
    const NAME: &'static str = "change_webhook_secret";
    type Outcome = SecretChanged;
}
