//! Refreshes: claimed, and settled by the claim's owner.

use crate::auth::caller::Caller;
use crate::db::call::Call;
use crate::db::oauth_apps::{OauthApp, client_key};
use crate::ids::{IntegrationId, OauthAppId, OrganizationId};
use platform::data_keys;
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Claims the refresh of one integration.
#[derive(Serialize)]
pub struct ClaimRefresh<'a> {
    pub p_id: IntegrationId,
    /// The claim's owner, a fresh id.
    pub p_owner: Uuid,
    #[serde(flatten)]
    pub caller: Caller,
    /// Only if the token expires within this number of seconds; None: in any case.
    pub p_within: Option<u32>,
    /// Whether the credential is also returned if it cannot be refreshed.
    pub p_read: bool,
    /// The reason in the event.
    pub p_reason: &'a str,
    /// The request's id, for the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`ClaimRefresh`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claiming {
    /// The caller must redeem and settle.
    Claimed(Claim),
    /// Another refresh is running; ask again.
    Busy,
    /// It has just failed, or the provider asked for a pause.
    Failed {
        /// The number of seconds.
        paused_seconds: Option<u32>,
    },
    /// There is no refresh token.
    Current(Current),
    /// Not found, or the user may not see it.
    Unknown,
}

#[derive(Deserialize, Serialize)]
pub struct Claim {
    pub id: IntegrationId,
    pub organization_id: OrganizationId,
    pub integration_type: String,
    pub generation: i64,
    /// The config as JSON text, because another writer may have stored anything.
    pub config: String,
    /// Whether the token is already refreshed and only the write is left.
    pub refreshed: bool,
    /// The app that the grant was issued to. None: the deployment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth_app: Option<OauthApp>,
}

impl Claim {
    /// The key of what is known about its client.
    pub fn client_key(&self) -> String {
        client_key(&self.integration_type, self.oauth_app.as_ref())
    }
}

#[derive(Deserialize)]
pub struct Current {
    pub organization_id: OrganizationId,
    pub integration_type: String,
    /// The config as JSON text, if it was asked for.
    pub config: Option<String>,
    /// The version of the config, if it was asked for.
    pub version: Option<String>,
    /// The wrapped data keys of the organization, if the config was asked for.
    #[serde(default)]
    pub data_keys: Option<Vec<data_keys::Row>>,
    pub status: String,
    /// The reason, unless it is active.
    pub status_reason: Option<String>,
    /// When the access token expires (RFC 3339), if that is known.
    pub expires_at: Option<String>,
    /// The rest of a pause that the provider asked for, in seconds.
    pub paused_seconds: Option<u32>,
    /// Whether it has just been refreshed.
    pub settled: bool,
}

impl Call for ClaimRefresh<'_> {
    const NAME: &'static str = "claim_refresh";
    type Outcome = Claiming;
}

#[derive(Serialize)]
pub struct ClaimDueRefreshes<'a> {
    pub p_owner: Uuid,
    /// The most rows to claim.
    pub p_limit: u32,
    /// Tokens that expire within this number of seconds are due.
    pub p_within: u32,
    pub p_types: &'a [&'a str],
    /// The request's id, for the events.
    pub p_request_id: &'a str,
}

/// The outcome of [`ClaimDueRefreshes`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimingDue {
    /// The claimed rows, the soonest expiry first; empty if nothing is due.
    Claimed { claims: Vec<Claim> },
}

impl Call for ClaimDueRefreshes<'_> {
    const NAME: &'static str = "claim_due_refreshes";
    type Outcome = ClaimingDue;
}

#[derive(Serialize)]
pub struct SettleRefreshes<'a> {
    pub p_owner: Uuid,
    pub p_results: &'a [RefreshResult],
    #[serde(flatten)]
    pub caller: Caller,
    /// The request's id, for the events.
    pub p_request_id: &'a str,
}

/// The result of a refresh: a config or a fault.
#[derive(Serialize)]
pub struct RefreshResult {
    pub id: IntegrationId,
    pub generation: i64,
    /// The config, refreshed and sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<StoredConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The pause that the provider asked for, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The provider's refusal, if it may mean that the grant has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalResult>,
    /// The organization. If the integration is gone, the config is revoked.
    pub organization_id: OrganizationId,
    pub integration_type: String,
    /// The app of the grant. None: the deployment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth_app_id: Option<OauthAppId>,
}

/// A refusal that counts towards the end of the grant.
#[derive(Serialize)]
pub struct RefusalResult {
    /// The text that equal refusals share.
    pub alike: String,
    /// Whether every grant might be refused like this. Then the refusal counts only if another grant was refreshed in the meantime.
    pub may_be_ours: bool,
    /// The number of refusals after which the grant counts as ended.
    pub tries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The provider may have redeemed the token; its response is lost.
    OutcomeUnknown,
    /// The provider has not redeemed the token. A retry may succeed.
    Refused,
    /// The stored config does not open.
    Unreadable,
    /// The secret of the organization's own app does not open.
    AppUnreadable,
    /// The refresh token is no longer valid.
    InvalidGrant,
    /// The user's own client is no longer valid.
    InvalidClient,
    /// There is no refresh token.
    NotRefreshable,
    /// The provider was not asked: the claim is given back.
    Released,
}

/// The outcome of [`SettleRefreshes`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settling {
    Ended { ends: BTreeMap<Uuid, End> },
}

/// The outcome of one refresh.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The row has the fresh config.
    Settled,
    /// The row rejects the write (a rotation's fence). The config is kept in the journal, and the next claim writes it.
    Journalled,
    /// The data key that sealed the config has been deleted. The claim still holds: seal with another key, and settle again.
    DataKeyDeleted,
    /// It is tried again later.
    BackedOff,
    /// The grant has ended.
    ReconnectRequired,
    /// The claim was given back.
    Released,
    /// The row or the claim has changed since; nothing was written.
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
                oauth_app_id: None,
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
