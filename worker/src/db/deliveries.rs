//! What is delivered to an organisation's endpoints: claimed, settled by whoever has the claim, and sent once more.

use crate::db::call::Call;
use crate::ids::{EndpointId, EventId, OrganizationId, UserId};
use chrono::{DateTime, Utc};
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// An event is sent to an endpoint once more.
#[derive(Serialize)]
pub struct Replay {
    /// To which.
    pub p_endpoint_id: EndpointId,
    /// Which event.
    pub p_event_id: EventId,
    /// Who wants it.
    pub p_user_id: UserId,
}

/// What becomes of [`Replay`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replayed {
    /// It is delivered with the next run.
    Replayed,
    /// The endpoint is disabled.
    Disabled,
    /// The endpoint is not the user's, or the event was never for it, or is no longer kept.
    Unknown,
}

impl Call for Replay {
    const NAME: &'static str = "replay_webhook_delivery";
    type Outcome = Replayed;
}

/// What is due is claimed.
#[derive(Serialize)]
pub struct ClaimDeliveries<'a> {
    /// What the claims are known by.
    pub p_owner: Uuid,
    /// How many at the most.
    pub p_limit: u32,
    /// How many of them at the most to endpoints that are slow, failing, or have not answered yet.
    pub p_slow: u32,
    /// Endpoints that are passed by.
    pub p_skip: &'a [EndpointId],
}

/// What becomes of [`ClaimDeliveries`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingDeliveries {
    /// These; none: nothing is due.
    Claimed {
        /// The claims.
        deliveries: Vec<Delivery>,
    },
}

/// A claimed delivery.
#[derive(Deserialize)]
pub struct Delivery {
    /// To which endpoint.
    pub endpoint_id: EndpointId,
    /// Whose that is.
    pub organization_id: OrganizationId,
    /// Where it is.
    pub url: String,
    /// Its secrets, sealed.
    pub config: StoredConfig,
    /// Whether the secret before the current one still signs.
    pub both: bool,
    /// Whether the endpoint is slow, failing, or has not answered yet.
    pub slow: bool,
    /// Which event.
    pub event_id: EventId,
    /// What happened.
    pub r#type: String,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// To what, as it is told.
    pub data: Map<String, Value>,
}

impl Call for ClaimDeliveries<'_> {
    const NAME: &'static str = "claim_webhook_deliveries";
    type Outcome = ClaimingDeliveries;
}

/// Claimed deliveries end.
#[derive(Serialize)]
pub struct SettleDeliveries<'a> {
    /// What they were claimed by.
    pub p_owner: Uuid,
    /// How each ended.
    pub p_results: &'a [WebhookResult],
}

/// How a delivery ended.
#[derive(Serialize)]
pub struct WebhookResult {
    /// To which endpoint.
    pub endpoint_id: EndpointId,
    /// Which event.
    pub event_id: EventId,
    /// The receiver's status, if it answered.
    pub status: Option<u16>,
    /// Why it was no success: `status`, `redirect`, `timeout`, `unreachable`, `refused` (the URL is none that may be sent to),
    /// `unreadable` (the secret does not open), or `released`, when nothing was sent. None: it was one.
    pub error: Option<&'static str>,
    /// How long the receiver asks to wait, in seconds.
    pub retry_after: Option<u32>,
    /// The URL that answered 410.
    pub url: Option<String>,
    /// How long the receiver took, in milliseconds. None: nothing was sent.
    pub took_ms: Option<u32>,
}

impl WebhookResult {
    /// Without an answer.
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

/// What becomes of [`SettleDeliveries`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlingDeliveries {
    /// Each for itself.
    Settled,
}

impl Call for SettleDeliveries<'_> {
    const NAME: &'static str = "settle_webhook_deliveries";
    type Outcome = SettlingDeliveries;
}
