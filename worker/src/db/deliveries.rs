//! Deliveries to an organization's endpoints: claimed, settled, and sent again.

use crate::auth::caller::Caller;
use crate::db::call::Call;
use crate::ids::{EndpointId, EventId, OrganizationId};
use chrono::{DateTime, Utc};
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Sends an event to an endpoint again.
#[derive(Serialize)]
pub struct Replay {
    pub p_endpoint_id: EndpointId,
    pub p_event_id: EventId,
    #[serde(flatten)]
    pub caller: Caller,
}

/// The outcome of [`Replay`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replayed {
    /// The next run delivers it.
    Replayed,
    Disabled,
    /// Not the user's endpoint, or no event of it, or the event is no longer kept.
    Unknown,
}

impl Call for Replay {
    const NAME: &'static str = "replay_webhook_delivery";
    type Outcome = Replayed;
}

#[derive(Serialize)]
pub struct ClaimDeliveries<'a> {
    pub p_owner: Uuid,
    /// The most rows to claim.
    pub p_limit: u32,
    /// The most of them for endpoints that are slow, failing, or new.
    pub p_slow: u32,
    /// Endpoints to leave out.
    pub p_skip: &'a [EndpointId],
}

/// The outcome of [`ClaimDeliveries`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingDeliveries {
    /// The claimed rows; empty if nothing is due.
    Claimed { deliveries: Vec<Delivery> },
}

#[derive(Deserialize)]
pub struct Delivery {
    pub endpoint_id: EndpointId,
    /// The organization that the secrets are bound to.
    pub organization_id: OrganizationId,
    pub url: String,
    /// Its secrets, sealed.
    pub config: StoredConfig,
    /// Whether the previous secret still signs.
    pub both: bool,
    /// Whether the endpoint is slow, failing, or new.
    pub slow: bool,
    pub event_id: EventId,
    pub r#type: String,
    pub occurred_at: DateTime<Utc>,
    pub data: Map<String, Value>,
}

impl Call for ClaimDeliveries<'_> {
    const NAME: &'static str = "claim_webhook_deliveries";
    type Outcome = ClaimingDeliveries;
}

#[derive(Serialize)]
pub struct SettleDeliveries<'a> {
    pub p_owner: Uuid,
    pub p_results: &'a [WebhookResult],
}

/// The result of a delivery.
#[derive(Serialize)]
pub struct WebhookResult {
    pub endpoint_id: EndpointId,
    pub event_id: EventId,
    /// The receiver's status, if it responded.
    pub status: Option<u16>,
    /// The fault: `status`, `redirect`, `timeout`, `unreachable`, `refused` (the URL is not allowed),
    /// `unreadable` (the secret does not open), or `released` if nothing was sent. None: it was delivered.
    pub error: Option<&'static str>,
    /// The pause that the receiver asked for, in seconds.
    pub retry_after: Option<u32>,
    /// The URL that answered 410.
    pub url: Option<String>,
    /// The receiver's response time in milliseconds. None: nothing was sent.
    pub took_ms: Option<u32>,
}

impl WebhookResult {
    /// A result without a response.
    pub fn of(delivery: &Delivery, error: Option<&'static str>) -> Self {
        Self {
            endpoint_id: delivery.endpoint_id,
            event_id: delivery.event_id,
            status: None,
            error,
            retry_after: None,
            url: None,
            took_ms: None,
        }
    }
}

/// The outcome of [`SettleDeliveries`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlingDeliveries {
    Settled,
}

impl Call for SettleDeliveries<'_> {
    const NAME: &'static str = "settle_webhook_deliveries";
    type Outcome = SettlingDeliveries;
}
