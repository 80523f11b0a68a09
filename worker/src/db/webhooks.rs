//! An organisation's endpoints for webhooks, and their secrets.

use crate::db::call::Call;
use crate::ids::{EndpointId, OrganizationId, UserId};
use checks::Severity;
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An endpoint, as its members see it.
#[derive(Deserialize, Debug, Serialize)]
pub struct Endpoint {
    id: EndpointId,
    organization_id: OrganizationId,
    url: String,
    events: Option<Vec<String>>,
    min_severity: Option<Severity>,
    enabled: bool,
    disabled_reason: Option<String>,
    previous_secret_ends_at: Option<String>,
    created_at: String,
}

/// An endpoint is made.
#[derive(Serialize)]
pub struct CreateEndpoint<'a> {
    /// The endpoint, which its sealed secrets are bound to.
    pub p_id: EndpointId,
    /// Who makes it.
    pub p_user_id: UserId,
    /// For which organisation.
    pub p_organization_id: OrganizationId,
    /// Where it is.
    pub p_url: &'a str,
    /// What it wants to hear of; None: everything.
    pub p_events: Option<&'a [EventType]>,
    /// Its secret, sealed.
    pub p_config: &'a StoredConfig,
    /// It hears of no finding below this.
    pub p_min_severity: Option<Severity>,
}

/// What becomes of [`CreateEndpoint`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Created {
    /// It stands.
    Created {
        /// As it stands.
        endpoint: Endpoint,
    },
    /// The user is no member of the organisation.
    NotAMember,
    /// The organisation has as many as it may have.
    TooMany,
}

impl Call for CreateEndpoint<'_> {
    const NAME: &'static str = "create_webhook_endpoint";
    type Outcome = Created;
}

/// What can happen to a connection, and what a scan of it finds.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum EventType {
    /// It was made.
    #[serde(rename = "connection.created")]
    Created,
    /// It has another grant of the same account.
    #[serde(rename = "connection.reconnected")]
    Reconnected,
    /// It has fresh tokens.
    #[serde(rename = "connection.refreshed")]
    Refreshed,
    /// There were none, this time.
    #[serde(rename = "connection.refresh_failed")]
    RefreshFailed,
    /// It is not known whether its credential still works.
    #[serde(rename = "connection.degraded")]
    Degraded,
    /// Only its user can mend it.
    #[serde(rename = "connection.reconnect_required")]
    ReconnectRequired,
    /// It was removed.
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

/// An endpoint is changed.
#[derive(Serialize)]
pub struct ChangeEndpoint<'a> {
    /// Which.
    pub p_id: EndpointId,
    /// Who changes it.
    pub p_user_id: UserId,
    /// What changes, by column: `url`, `events`, `min_severity`, `enabled`.
    pub p_changes: &'a Map<String, Value>,
}

/// What becomes of [`ChangeEndpoint`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointChanged {
    /// It is as wished.
    Changed {
        /// As it stands now.
        endpoint: Endpoint,
    },
    /// It is gone, or is not the user's.
    Unknown,
}

impl Call for ChangeEndpoint<'_> {
    const NAME: &'static str = "change_webhook_endpoint";
    type Outcome = EndpointChanged;
}

/// An endpoint is removed.
#[derive(Serialize)]
pub struct DeleteEndpoint {
    /// Which.
    pub p_id: EndpointId,
    /// Who removes it.
    pub p_user_id: UserId,
}

/// What becomes of [`DeleteEndpoint`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointDeleted {
    /// It is gone, with all that was to be delivered.
    Deleted,
    /// It was already, or is not the user's.
    Unknown,
}

impl Call for DeleteEndpoint {
    const NAME: &'static str = "delete_webhook_endpoint";
    type Outcome = EndpointDeleted;
}

/// An endpoint's sealed secrets are read.
#[derive(Serialize)]
pub struct FindEndpoint {
    /// Which.
    pub p_id: EndpointId,
    /// Who asks.
    pub p_user_id: UserId,
}

/// What becomes of [`FindEndpoint`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointFound {
    /// It is the user's to see.
    Found {
        /// Whose it is.
        organization_id: OrganizationId,
        /// Its secrets, sealed.
        config: StoredConfig,
    },
    /// It is not, or there is none.
    Unknown,
}

impl Call for FindEndpoint {
    const NAME: &'static str = "find_webhook_endpoint";
    type Outcome = EndpointFound;
}

/// An endpoint gets another secret.
#[derive(Serialize)]
pub struct ChangeSecret<'a> {
    /// Which.
    pub p_id: EndpointId,
    /// Who wants it.
    pub p_user_id: UserId,
    /// The secrets that were read.
    pub p_read: &'a StoredConfig,
    /// Those that take their place.
    pub p_config: &'a StoredConfig,
}

/// What becomes of [`ChangeSecret`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretChanged {
    /// It has.
    Rotated {
        /// As it stands now.
        endpoint: Endpoint,
    },
    /// It had others by then; nothing was written.
    Changed,
    /// It is gone, or is not the user's.
    Unknown,
}

impl Call for ChangeSecret<'_> {
    const NAME: &'static str = "change_webhook_secret";
    type Outcome = SecretChanged;
}

/// Endpoints are looked for whose secrets are sealed with one of these keys.
#[derive(Serialize)]
pub struct SecretsOn<'a> {
    /// The key ids.
    pub p_kids: &'a [String],
    /// How many at the most.
    pub p_limit: u32,
}

/// What becomes of [`SecretsOn`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretsFound {
    /// These.
    Found {
        /// Each with its secrets.
        endpoints: Vec<SealedEndpoint>,
    },
}

/// An endpoint's secrets, sealed.
#[derive(Deserialize)]
pub struct SealedEndpoint {
    /// Which.
    pub id: EndpointId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// The secrets.
    pub config: StoredConfig,
}

impl Call for SecretsOn<'_> {
    const NAME: &'static str = "webhook_secrets_on";
    type Outcome = SecretsFound;
}

/// Secrets are written, sealed anew.
#[derive(Serialize)]
pub struct ResealSecrets<'a> {
    /// Of which endpoints.
    pub p_resealed: &'a [Resealed],
}

/// An endpoint's secrets under the primary key.
#[derive(Serialize)]
pub struct Resealed {
    /// Which.
    pub id: EndpointId,
    /// What was read.
    pub read: StoredConfig,
    /// What takes its place.
    pub config: StoredConfig,
}

/// What becomes of [`ResealSecrets`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resealing {
    /// Those that still had what was read.
    Resealed,
}

impl Call for ResealSecrets<'_> {
    const NAME: &'static str = "reseal_webhook_secrets";
    type Outcome = Resealing;
}
