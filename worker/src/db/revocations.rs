//! The end of a grant: the database gives it up first, then the provider revokes it.

use crate::auth::caller::Caller;
use crate::db::call::Call;
use crate::db::connections::ConnectorParameters;
use crate::db::oauth_apps::OauthApp;
use crate::ids::{IntegrationId, OrganizationId, PendingId, RevocationId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Deserialize)]
pub struct Revocation {
    pub id: RevocationId,
    /// The organization of the grant.
    pub organization_id: OrganizationId,
    /// The row that the config is sealed for.
    pub sealed_for: Uuid,
    pub integration_type: String,
    /// The config as JSON text, because another writer may have stored anything.
    pub config: String,
    /// The app that the grant was issued to. None: the deployment's.
    pub oauth_app: Option<OauthApp>,
}

/// Gives a pending connection up and leases the revocation of its grant.
#[derive(Serialize)]
pub struct AbandonConnection<'a> {
    pub p_id: PendingId,
    #[serde(flatten)]
    pub connector: ConnectorParameters,
    pub p_owner: Uuid,
    /// Why: `abandoned` or `discarded`.
    pub p_reason: &'a str,
    /// The account at the provider, if it is known.
    pub p_external_account_id: Option<&'a str>,
    /// Whether a revocation ends everything that the user authorized.
    pub p_wide: bool,
    /// The request's id, for the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`AbandonConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abandoned {
    /// The caller must revoke the grant and settle.
    Abandoned { revocation: Revocation },
    /// Another integration uses the grant, so it is not revoked.
    Kept,
    /// It is no longer pending: it was stored or given up before.
    Unknown,
}

impl Call for AbandonConnection<'_> {
    const NAME: &'static str = "abandon_connection";
    type Outcome = Abandoned;
}

/// Deletes an integration and leases the revocation of its credential.
#[derive(Serialize)]
pub struct DisconnectIntegration<'a> {
    pub p_id: IntegrationId,
    #[serde(flatten)]
    pub caller: Caller,
    pub p_owner: Uuid,
    /// The types whose revocation ends everything that the user authorized.
    pub p_wide_types: &'a [&'a str],
    /// The request's id, for the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`DisconnectIntegration`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disconnected {
    /// It is deleted. The caller must revoke its credential and settle.
    Disconnected(Box<Deleted>),
    /// Not found, or not the user's.
    Unknown,
}

#[derive(Deserialize)]
pub struct Deleted {
    /// Its config, sealed.
    pub revocation: Revocation,
    /// Whether an earlier grant of the integration may still exist.
    pub earlier_grant: bool,
    /// Other integrations that use the same grant.
    pub shared: Vec<Shared>,
}

/// An integration that shares its grant with another one.
#[derive(Deserialize)]
pub struct Shared {
    pub id: IntegrationId,
    /// Whether the user may see it.
    pub visible: bool,
}

impl Call for DisconnectIntegration<'_> {
    const NAME: &'static str = "disconnect_integration";
    type Outcome = Disconnected;
}

/// Claims the revocations that are due.
#[derive(Serialize)]
pub struct ClaimRevocations<'a> {
    pub p_owner: Uuid,
    pub p_limit: u32,
    pub p_types: &'a [&'a str],
    /// The types among them whose revocation ends everything that the user authorized.
    pub p_wide_types: &'a [&'a str],
    /// The request's id, for the events.
    pub p_request_id: &'a str,
}

/// The outcome of [`ClaimRevocations`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingRevocations {
    /// The claimed rows; empty if nothing is due.
    Claimed { claims: Vec<Revocation> },
}

impl Call for ClaimRevocations<'_> {
    const NAME: &'static str = "claim_revocations";
    type Outcome = ClaimingRevocations;
}

#[derive(Serialize)]
pub struct SettleRevocation<'a> {
    pub p_id: RevocationId,
    pub p_owner: Uuid,
    /// The outcome: `revoked`, `unsupported`, `unreadable` or `failed`.
    pub p_result: &'a str,
    /// The request's id, for the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`SettleRevocation`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationSettled {
    /// It ended, or is repeated later.
    Settled,
    /// The caller has lost the lease.
    Unknown,
}

impl Call for SettleRevocation<'_> {
    const NAME: &'static str = "settle_revocation";
    type Outcome = RevocationSettled;
}
