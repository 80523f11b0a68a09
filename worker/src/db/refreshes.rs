//! A refresh: claimed, redeemed by whoever has the claim, and settled.

use crate::db::call::Call;
use crate::ids::{IntegrationId, OrganizationId, ServiceKeyId, UserId};
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The refresh of one integration is claimed.
#[derive(Serialize)]
pub struct ClaimRefresh<'a> {
    /// Which.
    pub p_id: IntegrationId,
    /// What the claim is known by; another each time.
    pub p_owner: Uuid,
    /// Who asks. Without a user and a service key: the worker by itself.
    pub p_user_id: Option<UserId>,
    /// The service key that asks.
    pub p_service_key: Option<ServiceKeyId>,
    /// Only if the token ends within so many seconds; None: in any case.
    pub p_within: Option<u32>,
    /// Whether the credential is wanted also where there is nothing to refresh.
    pub p_read: bool,
    /// What for, as the event says it.
    pub p_reason: &'a str,
    /// For the event.
    pub p_request_id: &'a str,
}

/// What becomes of [`ClaimRefresh`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claiming {
    /// The caller redeems and settles.
    Claimed(Claim),
    /// Somebody else does; ask again.
    Busy,
    /// It failed a moment ago, or the provider wants no requests.
    Failed {
        /// For so many seconds.
        paused_seconds: Option<u32>,
    },
    /// There is nothing to refresh, or nothing that can be.
    Current(Current),
    /// It is not the user's to see, or there is none.
    Unknown,
}

/// A claimed refresh.
#[derive(Deserialize, Serialize)]
pub struct Claim {
    /// Which integration.
    pub id: IntegrationId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
    /// Which claim.
    pub generation: i64,
    /// The config as JSON text: another writer may have stored anything in it.
    pub config: String,
    /// Whether it was refreshed already, and only the write is missing.
    pub refreshed: bool,
}

/// A credential that stands.
#[derive(Deserialize)]
pub struct Current {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
    /// The config as JSON text, if it was asked for.
    pub config: Option<String>,
    /// Which config that is, if it was asked for.
    pub version: Option<String>,
    /// The integration's status.
    pub status: String,
    /// When the access token ends (RFC 3339), if that is known.
    pub expires_at: Option<String>,
    /// For how many more seconds the provider asks not to refresh it.
    pub paused_seconds: Option<u32>,
    /// Whether it was refreshed a moment ago.
    pub settled: bool,
}

impl Call for ClaimRefresh<'_> {
    const NAME: &'static str = "claim_refresh";
    type Outcome = Claiming;
}

/// What is due is claimed.
#[derive(Serialize)]
pub struct ClaimDueRefreshes<'a> {
    /// What the claims are known by.
    pub p_owner: Uuid,
    /// How many at the most.
    pub p_limit: u32,
    /// What ends within so many seconds.
    pub p_within: u32,
    /// Of these types.
    pub p_types: &'a [&'a str],
    /// For the events.
    pub p_request_id: &'a str,
}

/// What becomes of [`ClaimDueRefreshes`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingDue {
    /// These, the soonest first; none: nothing is due.
    Claimed {
        /// The claims.
        claims: Vec<Claim>,
    },
}

impl Call for ClaimDueRefreshes<'_> {
    const NAME: &'static str = "claim_due_refreshes";
    type Outcome = ClaimingDue;
}

/// Claimed refreshes end.
#[derive(Serialize)]
pub struct SettleRefreshes<'a> {
    /// What they were claimed by.
    pub p_owner: Uuid,
    /// How each ended.
    pub p_results: &'a [RefreshResult],
    /// Who asked for them.
    pub p_user_id: Option<UserId>,
    /// For the events.
    pub p_request_id: &'a str,
}

/// How a refresh ended: with a config, or with a fault.
#[derive(Serialize)]
pub struct RefreshResult {
    /// Which integration.
    pub id: IntegrationId,
    /// Which claim.
    pub generation: i64,
    /// The config, refreshed and sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<StoredConfig>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// How long the provider asks to wait, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// How the provider refused, where that may mean that the grant is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalResult>,
    /// Whose it is: if the integration is gone, the config is revoked.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
}

/// A refusal that is counted.
#[derive(Serialize)]
pub struct RefusalResult {
    /// What it has in common with others of its kind.
    pub alike: String,
    /// Whether every grant may be refused like this. Then another one must have been refreshed meanwhile.
    pub may_be_ours: bool,
    /// After how many the grant counts as over.
    pub tries: u32,
}

/// Why a refresh brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The provider may have redeemed the token; its answer is lost.
    OutcomeUnknown,
    /// The provider has not redeemed the token, and may another time.
    Refused,
    /// What is stored does not open here.
    Unreadable,
    /// The token is none any more.
    InvalidGrant,
    /// The user's own client is none any more.
    InvalidClient,
    /// There is nothing to refresh it with.
    NotRefreshable,
    /// Nothing was asked: the claim is given back.
    Released,
}

/// What becomes of [`SettleRefreshes`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settling {
    /// Each for itself.
    Ended {
        /// By integration.
        ends: BTreeMap<Uuid, End>,
    },
}

/// What became of one refresh.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The row has the fresh config.
    Settled,
    /// The row may not be written now (a rotation's fence); the config is kept, and written by the next claim.
    Journalled,
    /// It is tried again later.
    BackedOff,
    /// The grant is over.
    ReconnectRequired,
    /// The claim was given back.
    Released,
    /// The row was written by somebody else, or the claim taken over; nothing was written.
    Changed,
    /// The integration was deleted.
    Gone,
}

impl Call for SettleRefreshes<'_> {
    const NAME: &'static str = "settle_refreshes";
    type Outcome = Settling;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use serde_json::json;

    #[test]
    fn a_result_is_a_config_or_a_fault() {
        let id = IntegrationId(Uuid::nil());
        let result = |config, fault| {
            serde_json::to_value(RefreshResult {
                id,
                generation: 7,
                config,
                fault,
                retry_after: None,
                refusal: None,
                organization_id: OrganizationId(Uuid::nil()),
                integration_type: "supabase".to_owned(),
            })
            .unwrap()
        };
        assert_eq!(
            result(Some(StoredConfig::new()), None),
            json!({"id": id, "generation": 7, "config": {}, "organization_id": Uuid::nil(), "integration_type": "supabase"})
        );
        assert_eq!(
            result(None, Some(Fault::InvalidGrant)),
            json!({"id": id, "generation": 7, "fault": "invalid_grant", "organization_id": Uuid::nil(), "integration_type": "supabase"})
        );
    }

    #[test]
    fn ends_are_read_by_integration() {
        let body =
            r#"{"outcome":"ended","ends":{"67e55044-10b1-426f-9247-bb680e5fe0c8":"journalled"}}"#;
        let Settling::Ended { ends } = json::read_tagged("outcome", body).unwrap();
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap();
        assert_eq!(ends.get(&id), Some(&End::Journalled));
    }
}
