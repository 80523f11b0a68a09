//! Connections, from the transaction to the stored integration.

use crate::db::call::Call;
use crate::db::oauth_apps::OauthApp;
use crate::ids::{
    ConnectSessionId, IntegrationId, OauthAppId, OrganizationId, PendingId, TransactionId, UserId,
};
use crate::oauth::Account;
use catalogue::SecondGrant;
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connector {
    #[serde(rename = "user")]
    User(UserId),
    /// The browser of a connect session, whose user only its backend knows.
    #[serde(rename = "connect_session")]
    Session(ConnectSessionId),
}

/// A connector as the database's functions take it.
#[derive(Serialize)]
pub struct ConnectorParameters {
    p_user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_connect_session_id: Option<ConnectSessionId>,
}

impl From<Connector> for ConnectorParameters {
    fn from(connector: Connector) -> Self {
        let (p_user_id, p_connect_session_id) = match connector {
            Connector::User(id) => (Some(id), None),
            Connector::Session(id) => (None, Some(id)),
        };
        Self {
            p_user_id,
            p_connect_session_id,
        }
    }
}

#[derive(Serialize)]
pub struct BeginConnection<'a> {
    /// The transaction's id, which the sealed verifier is bound to.
    pub p_id: TransactionId,
    /// SHA-256 of the state, hex.
    pub p_state_hash: &'a str,
    /// SHA-256 of the browser's cookie, hex.
    pub p_binding_hash: &'a str,
    #[serde(flatten)]
    pub connector: ConnectorParameters,
    pub p_organization_id: OrganizationId,
    pub p_integration_type: &'a str,
    /// The issuer that the callback must name, if the provider names one.
    pub p_issuer: Option<&'a str>,
    /// The redirect URI of the authorization request.
    pub p_redirect_uri: &'a str,
    /// The PKCE verifier, sealed.
    pub p_verifier: &'a StoredConfig,
    /// The path that the browser is redirected to in the end.
    pub p_return_to: &'a str,
    /// The integration that is reconnected, if any.
    pub p_integration_id: Option<IntegrationId>,
    /// The organization's own app. None: the deployment's.
    pub p_oauth_app_id: Option<OauthAppId>,
    /// Whether the app is that of the integration that is reconnected.
    pub p_keeps_app: bool,
}

/// The outcome of [`BeginConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begun {
    /// The transaction is stored for ten minutes.
    Begun {
        /// The app. None: the deployment's.
        oauth_app: Option<OauthApp>,
    },
    /// The user is not a member of the organization.
    NotAMember,
    /// The user has too many transactions open.
    TooMany,
    /// The integration to reconnect is gone.
    Unknown,
    /// It has no recorded account, or another integration has that account.
    NoAccount,
    /// The connect session no longer accepts a connection.
    Over,
    /// The organization has no such app of this type.
    UnknownApp,
}

impl Call for BeginConnection<'_> {
    const NAME: &'static str = "begin_connection";
    type Outcome = Begun;
}

/// Consumes a transaction, once.
#[derive(Serialize)]
pub struct ConsumeTransaction<'a> {
    /// SHA-256 of the state, hex.
    pub p_state_hash: &'a str,
    /// SHA-256 of the browser's cookie, hex.
    pub p_binding_hash: &'a str,
    /// The signed-in user. None: the transaction must be a connect session's.
    pub p_user_id: Option<UserId>,
}

/// The outcome of [`ConsumeTransaction`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consumed {
    /// The transaction is deleted; only this caller has it.
    Consumed(Box<Transaction>),
    /// The user has left the organization.
    NotAMember,
    /// It belongs to another browser or another user.
    Foreign,
    /// Not found, expired, or already used.
    Unknown,
}

/// A transaction that [`BeginConnection`] has stored.
#[derive(Deserialize)]
pub struct Transaction {
    pub id: TransactionId,
    pub organization_id: OrganizationId,
    pub integration_type: String,
    pub issuer: Option<String>,
    /// The redirect URI of the authorization request.
    pub redirect_uri: String,
    /// The PKCE verifier, sealed.
    pub verifier: StoredConfig,
    /// The path that the browser is redirected to in the end.
    pub return_to: String,
    /// The connect session that it belongs to, if any.
    pub connect_session: Option<SessionReturn>,
    /// The integration that is reconnected, if any.
    pub integration_id: Option<IntegrationId>,
    /// The account that it must have; None: the integration is gone.
    pub account_id: Option<String>,
    /// The app that the authorization was requested with. None: the deployment's.
    pub oauth_app: Option<OauthApp>,
}

/// Where the browser of a connect session is redirected to in the end.
#[derive(Deserialize)]
pub struct SessionReturn {
    pub id: ConnectSessionId,
    pub return_url: String,
    /// What the backend gave to come back with.
    pub return_state: Option<String>,
}

impl Call for ConsumeTransaction<'_> {
    const NAME: &'static str = "consume_transaction";
    type Outcome = Consumed;
}

/// Counts an attempt to connect with credentials, before the provider is asked.
#[derive(Serialize)]
pub struct CheckCredentialAttempts {
    #[serde(flatten)]
    pub connector: ConnectorParameters,
    pub p_organization_id: OrganizationId,
}

/// The outcome of [`CheckCredentialAttempts`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admitted {
    /// The credentials may be tried once.
    Admitted {
        /// The time (RFC 3339).
        at: String,
    },
    /// The user is not a member of the organization.
    NotAMember,
    /// The user has had too many attempts.
    TooMany {
        /// The user may try again after this number of seconds.
        seconds: u32,
    },
}

impl Call for CheckCredentialAttempts {
    const NAME: &'static str = "check_credential_attempts";
    type Outcome = Admitted;
}

/// Stores a connection: in a new row, or in the account's existing row.
#[derive(Serialize)]
pub struct CompleteConnection<'a> {
    /// The row's id, which the sealed values are bound to.
    pub p_id: IntegrationId,
    #[serde(flatten)]
    pub connector: ConnectorParameters,
    pub p_organization_id: OrganizationId,
    pub p_integration_type: &'a str,
    /// The account at the provider.
    pub p_external_account_id: &'a str,
    pub p_name: &'a str,
    /// The config, sealed.
    pub p_config: &'a StoredConfig,
    /// The request's id, for the event.
    pub p_request_id: &'a str,
    /// The pending connection, deleted in the same transaction. None: the user entered credentials.
    pub p_pending_id: Option<PendingId>,
    /// Whether the row must exist already, for this account.
    pub p_reconnect: bool,
    /// What this grant does to the integration's earlier grant.
    pub p_second_grant: Option<SecondGrant>,
    /// When the user entered the credentials. A grant has the time of its pending connection.
    pub p_granted_at: Option<&'a str>,
}

/// The outcome of [`CompleteConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completed {
    Created {
        id: IntegrationId,
    },
    /// The account's existing row.
    Updated {
        id: IntegrationId,
    },
    /// The account has another row; nothing was written. Seal for that row's id and repeat.
    Exists {
        id: IntegrationId,
    },
    /// The user has left the organization.
    NotAMember,
    /// The connection is no longer pending, or the row to reconnect is gone.
    Unknown,
    /// The row to reconnect has another account, or another row has this one.
    Mismatch,
    /// The row has newer credentials.
    Outdated,
    /// Another integration has the chosen name ([`ConnectNamed`]).
    NameTaken,
}

impl Call for CompleteConnection<'_> {
    const NAME: &'static str = "complete_connection";
    type Outcome = Completed;
}

/// The same, with a name that the user chose.
#[derive(Serialize)]
pub struct ConnectNamed<'a> {
    #[serde(flatten)]
    pub connection: CompleteConnection<'a>,
    pub p_custom_name: &'a str,
}

impl Call for ConnectNamed<'_> {
    const NAME: &'static str = "connect_named";
    type Outcome = Completed;
}

/// Stores a grant as soon as it is received.
#[derive(Serialize)]
pub struct AddPendingConnection<'a> {
    /// The id that the sealed values are bound to.
    pub p_id: PendingId,
    #[serde(flatten)]
    pub connector: ConnectorParameters,
    pub p_organization_id: OrganizationId,
    pub p_integration_type: &'a str,
    /// The grant, sealed.
    pub p_config: &'a StoredConfig,
    /// The path that the browser is redirected to in the end.
    pub p_return_to: &'a str,
    /// The app that the grant was issued to. None: the deployment's.
    pub p_oauth_app_id: Option<OauthAppId>,
}

/// The outcome of [`AddPendingConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// From now on the grant ends stored or revoked, even if this worker dies.
    Pending,
}

impl Call for AddPendingConnection<'_> {
    const NAME: &'static str = "add_pending_connection";
    type Outcome = Added;
}

/// Stores the accounts from which the user chooses.
#[derive(Serialize)]
pub struct OfferAccounts<'a> {
    pub p_id: PendingId,
    #[serde(flatten)]
    pub connector: ConnectorParameters,
    /// The accounts to choose from.
    pub p_accounts: &'a [Account],
}

/// The outcome of [`OfferAccounts`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offered {
    /// The connection is pending for ten minutes.
    Waiting,
    /// The user has left the organization.
    NotAMember,
    /// The connection is no longer pending.
    Unknown,
}

impl Call for OfferAccounts<'_> {
    const NAME: &'static str = "offer_accounts";
    type Outcome = Offered;
}

#[derive(Serialize)]
pub struct PendingConnection<'a> {
    pub p_id: PendingId,
    pub p_user_id: UserId,
    /// The reason in the event. None: the credentials are left out.
    pub p_reason: Option<&'a str>,
    /// The request's id, for the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`PendingConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    Waiting(PendingGrant),
    /// Not found, expired, already chosen from, or another user's.
    Unknown,
}

/// A pending connection from whose accounts the user chooses.
#[derive(Deserialize)]
pub struct PendingGrant {
    pub organization_id: OrganizationId,
    pub integration_type: String,
    /// The config without account, sealed; empty if it was not asked for.
    pub config: StoredConfig,
    /// The accounts to choose from.
    pub accounts: Vec<Account>,
    /// The path that the browser is redirected to in the end.
    pub return_to: String,
    /// When the choice expires (RFC 3339).
    pub expires_at: String,
}

impl Call for PendingConnection<'_> {
    const NAME: &'static str = "pending_connection";
    type Outcome = Pending;
}
