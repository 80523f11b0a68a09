//! Connect sessions: a backend starts one, a browser opens its link, and the backend completes it.

use crate::db::call::Call;
use crate::db::connections::SessionReturn;
use crate::ids::{
    ConnectSessionId, IntegrationId, OauthAppId, OrganizationId, PendingId, ServiceKeyId,
};
use crate::oauth::Account;
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Scopes by integration type.
pub type Scopes = BTreeMap<String, Vec<String>>;

/// The organization's own apps by integration type. None: the deployment's.
pub type Apps = BTreeMap<String, Option<OauthAppId>>;

#[derive(Serialize)]
pub struct CreateConnectSession<'a> {
    pub p_service_key: ServiceKeyId,
    pub p_id: ConnectSessionId,
    /// SHA-256 of the link's token, hex.
    pub p_token_hash: &'a str,
    pub p_organization_id: OrganizationId,
    /// The backend's own id of its user.
    pub p_external_user_id: &'a str,
    /// What the page calls that user.
    pub p_external_user_name: Option<&'a str>,
    /// The types that may be connected. None: that of the integration to reconnect.
    pub p_integration_types: Option<&'a [String]>,
    /// The integration to reconnect, if any.
    pub p_reconnects: Option<IntegrationId>,
    pub p_return_url: &'a str,
    pub p_return_state: Option<&'a str>,
    /// S256 of the backend's verifier.
    pub p_code_challenge: &'a str,
    pub p_scopes: &'a Scopes,
    pub p_oauth_apps: &'a Apps,
    pub p_metadata: &'a Map<String, Value>,
    /// The tags that the integration gets. None: it keeps its own.
    pub p_tags: Option<&'a [String]>,
}

/// The outcome of [`CreateConnectSession`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectSessionCreated {
    /// The link may be opened until then (RFC 3339).
    Created { expires_at: String },
    /// The key acts for another organization.
    ForeignOrganization,
    /// The integration to reconnect is not the organization's, or of another type.
    UnknownIntegration,
    /// The integration to reconnect has no recorded account.
    NoAccount,
    /// Scopes of a type that may not be connected.
    ForeignScopes,
    /// An app that the organization does not have, or of a type that may not be connected.
    UnknownApp,
    /// The organization, or the key, has too many unfinished sessions.
    TooMany,
}

impl Call for CreateConnectSession<'_> {
    const NAME: &'static str = "create_connect_session";
    type Outcome = ConnectSessionCreated;
}

/// Reads a session for its backend.
#[derive(Serialize)]
pub struct FindConnectSession {
    pub p_service_key: ServiceKeyId,
    pub p_id: ConnectSessionId,
}

/// The outcome of [`FindConnectSession`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectSessionFound {
    /// As the API shows it.
    Found { connect_session: Value },
    /// Not found, or another organization's.
    Unknown,
}

impl Call for FindConnectSession {
    const NAME: &'static str = "find_connect_session";
    type Outcome = ConnectSessionFound;
}

/// Opens a link, once, and binds the session to the browser.
#[derive(Serialize)]
pub struct OpenConnectSession<'a> {
    /// SHA-256 of the link's token, hex.
    pub p_token_hash: &'a str,
    /// SHA-256 of the browser's cookie, hex.
    pub p_binding_hash: &'a str,
}

/// Reads a session for the browser that opened its link.
#[derive(Serialize)]
pub struct FindOpenedConnectSession<'a> {
    pub p_id: ConnectSessionId,
    /// SHA-256 of the browser's cookie, hex.
    pub p_binding_hash: &'a str,
}

/// The outcome of [`OpenConnectSession`] and [`FindOpenedConnectSession`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectSessionOpened {
    Opened {
        connect_session: Box<OpenedConnectSession>,
    },
    /// The link was opened before.
    Used,
    /// Nobody opened the link in time.
    Expired,
    /// Not found, or another browser's.
    Unknown,
}

/// A session, for the browser that opened its link.
#[derive(Deserialize)]
pub struct OpenedConnectSession {
    pub id: ConnectSessionId,
    pub state: ConnectSessionState,
    /// Whether the browser has returned from the provider: there is no second attempt.
    pub is_used: bool,
    pub organization_id: OrganizationId,
    pub external_user_id: String,
    pub external_user_name: Option<String>,
    pub integration_types: Vec<String>,
    /// The integration to reconnect, if any.
    pub reconnects: Option<IntegrationId>,
    /// The account that it must have; None: the integration is gone.
    pub account_id: Option<String>,
    #[serde(rename = "return")]
    pub returns: SessionReturn,
    pub scopes: Scopes,
    pub oauth_apps: Apps,
    /// RFC 3339.
    pub expires_at: String,
    /// The grant from whose accounts the user chooses, if any.
    pub pending: Option<Choice>,
}

impl OpenedConnectSession {
    /// Whether an account may still be connected.
    pub fn is_open(&self) -> bool {
        self.state == ConnectSessionState::Opened && !self.is_used
    }
}

/// The state of a session.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectSessionState {
    Pending,
    Opened,
    WaitingForCompletion,
    Completed,
    Failed,
    Expired,
}

/// A grant from whose accounts the user chooses.
#[derive(Deserialize)]
pub struct Choice {
    pub id: PendingId,
    pub integration_type: String,
    pub accounts: Vec<Account>,
}

impl Call for OpenConnectSession<'_> {
    const NAME: &'static str = "open_connect_session";
    type Outcome = ConnectSessionOpened;
}

impl Call for FindOpenedConnectSession<'_> {
    const NAME: &'static str = "find_opened_connect_session";
    type Outcome = ConnectSessionOpened;
}

/// Lets a grant wait until the backend completes the session.
#[derive(Serialize)]
pub struct ParkConnection<'a> {
    pub p_connect_session_id: ConnectSessionId,
    pub p_pending_id: PendingId,
    pub p_account: &'a Account,
    /// SHA-256 of the code, hex.
    pub p_code_hash: &'a str,
}

/// The outcome of [`ParkConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parked {
    Parked,
    /// The session has ended, or the grant was given up.
    Over,
}

impl Call for ParkConnection<'_> {
    const NAME: &'static str = "park_connection";
    type Outcome = Parked;
}

/// Ends an opened session without a connection.
#[derive(Serialize)]
pub struct FailConnectSession<'a> {
    pub p_id: ConnectSessionId,
    pub p_failure: &'a str,
}

/// The outcome of [`FailConnectSession`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectSessionFailed {
    Failed,
    /// It has ended, or waits for its completion.
    Over,
}

impl Call for FailConnectSession<'_> {
    const NAME: &'static str = "fail_connect_session";
    type Outcome = ConnectSessionFailed;
}

/// Checks the code and the verifier of a completion.
#[derive(Serialize)]
pub struct AdmitCompletion<'a> {
    pub p_service_key: ServiceKeyId,
    pub p_id: ConnectSessionId,
    /// SHA-256 of the code, hex.
    pub p_code_hash: &'a str,
    /// S256 of the verifier.
    pub p_code_challenge: &'a str,
    /// The request's id, for the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`AdmitCompletion`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletionAdmitted {
    /// The grant, to be stored.
    Admitted(Box<ParkedGrant>),
    /// The code or the verifier is wrong.
    Wrong,
    /// The browser has not returned yet.
    NotReady,
    /// It was completed before.
    Completed,
    /// It ended without a connection.
    Failed,
    /// It was not completed in time.
    Expired,
    /// Not found, or another organization's.
    Unknown,
}

/// A grant that waited for its completion.
#[derive(Deserialize)]
pub struct ParkedGrant {
    pub pending_id: PendingId,
    pub organization_id: OrganizationId,
    pub integration_type: String,
    /// The config without account, sealed.
    pub config: StoredConfig,
    pub account: Account,
    /// The integration to reconnect, if any.
    pub reconnects: Option<IntegrationId>,
}

impl Call for AdmitCompletion<'_> {
    const NAME: &'static str = "admit_completion";
    type Outcome = CompletionAdmitted;
}
