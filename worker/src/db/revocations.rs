//! How a grant ends: given up in the database first, then revoked at the provider.

use crate::db::call::Call;
use crate::ids::{IntegrationId, OrganizationId, PendingId, RevocationId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A leased revocation.
#[derive(Deserialize)]
pub struct Revocation {
    /// Which.
    pub id: RevocationId,
    /// Whose grant it is.
    pub organization_id: OrganizationId,
    /// The row that the config is sealed for.
    pub sealed_for: Uuid,
    /// With which provider.
    pub integration_type: String,
    /// The config as JSON text: another writer may have stored anything in it.
    pub config: String,
}

/// A pending grant is given up, and its revocation leased.
#[derive(Serialize)]
pub struct AbandonConnection<'a> {
    /// Which.
    pub p_id: PendingId,
    /// Whose.
    pub p_user_id: UserId,
    /// Who leases the revocation.
    pub p_owner: Uuid,
    /// Why: `abandoned` or `discarded`.
    pub p_reason: &'a str,
    /// The account at the provider, where it is known.
    pub p_external_account_id: Option<&'a str>,
    /// Whether a revocation ends everything that the user granted.
    pub p_wide: bool,
    /// For the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`AbandonConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abandoned {
    /// The caller revokes it and settles.
    Abandoned {
        /// What to revoke.
        revocation: Revocation,
    },
    /// Another integration uses the grant: nobody revokes it.
    Kept,
    /// It is not pending any more: it was stored, or given up before.
    Unknown,
}

impl Call for AbandonConnection<'_> {
    const NAME: &'static str = "abandon_connection";
    type Outcome = Abandoned;
}

/// An integration is deleted, and the revocation of its credential leased.
#[derive(Serialize)]
pub struct DisconnectIntegration<'a> {
    /// Which.
    pub p_id: IntegrationId,
    /// Who deletes it.
    pub p_user_id: UserId,
    /// Who leases the revocation.
    pub p_owner: Uuid,
    /// The types whose revocation ends everything that the user granted.
    pub p_wide_types: &'a [&'a str],
    /// For the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`DisconnectIntegration`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disconnected {
    /// It is deleted; the caller revokes its credential and settles.
    Disconnected(Deleted),
    /// Not found, or not the user's.
    Unknown,
}

/// What was deleted.
#[derive(Deserialize)]
pub struct Deleted {
    /// Its credential.
    pub revocation: Revocation,
    /// Whether a grant that it had before may still exist.
    pub earlier_grant: bool,
    /// Other integrations that use the same grant.
    pub shared: Vec<Shared>,
}

/// An integration that uses the same grant as another one.
#[derive(Deserialize)]
pub struct Shared {
    /// Which.
    pub id: IntegrationId,
    /// Whether the caller may see it.
    pub visible: bool,
}

impl Call for DisconnectIntegration<'_> {
    const NAME: &'static str = "disconnect_integration";
    type Outcome = Disconnected;
}

/// Revocations that are due are claimed.
#[derive(Serialize)]
pub struct ClaimRevocations<'a> {
    /// Who leases them.
    pub p_owner: Uuid,
    /// How many at most.
    pub p_limit: u32,
    /// Of these types.
    pub p_types: &'a [&'a str],
    /// Those of them whose revocation ends everything that the user granted.
    pub p_wide_types: &'a [&'a str],
    /// For the events.
    pub p_request_id: &'a str,
}

/// The outcome of [`ClaimRevocations`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingRevocations {
    /// These; an empty list: none is due.
    Claimed {
        /// The revocations.
        claims: Vec<Revocation>,
    },
}

impl Call for ClaimRevocations<'_> {
    const NAME: &'static str = "claim_revocations";
    type Outcome = ClaimingRevocations;
}

/// A leased revocation ends.
#[derive(Serialize)]
pub struct SettleRevocation<'a> {
    /// Which.
    pub p_id: RevocationId,
    /// Who leased it.
    pub p_owner: Uuid,
    /// How it ended: `revoked`, `unsupported`, `unreadable` or `failed`.
    pub p_result: &'a str,
    /// For the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`SettleRevocation`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationSettled {
    /// It ended, or is repeated later.
    Settled,
    /// The caller does not hold the lease any more.
    Unknown,
}

impl Call for SettleRevocation<'_> {
    const NAME: &'static str = "settle_revocation";
    type Outcome = RevocationSettled;
}
