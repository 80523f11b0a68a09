//! From a begun connection to a stored one.

use crate::db::call::Call;
use crate::ids::{IntegrationId, OrganizationId, PendingId, TransactionId, UserId};
use crate::oauth::Account;
use catalogue::SecondGrant;
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};

/// A connection is started.
#[derive(Serialize)]
pub struct BeginConnection<'a> {
    /// The transaction, which the sealed verifier is bound to.
    pub p_id: TransactionId,
    /// SHA-256 of the state, hex.
    pub p_state_hash: &'a str,
    /// SHA-256 of the browser's cookie, hex.
    pub p_binding_hash: &'a str,
    /// Who begins.
    pub p_user_id: UserId,
    /// For which organisation.
    pub p_organization_id: OrganizationId,
    /// With which provider.
    pub p_integration_type: &'a str,
    /// The issuer that the callback must name, where the provider names one.
    pub p_issuer: Option<&'a str>,
    /// Exactly what the authorization request said.
    pub p_redirect_uri: &'a str,
    /// The PKCE verifier, sealed.
    pub p_verifier: &'a StoredConfig,
    /// Where to go in the end.
    pub p_return_to: &'a str,
    /// The integration that is reconnected, if it is one that stands.
    pub p_integration_id: Option<IntegrationId>,
}

/// What becomes of [`BeginConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begun {
    /// It stands for ten minutes.
    Begun,
    /// The user is no member of the organisation.
    NotAMember,
    /// The user has too many open.
    TooMany,
    /// The integration that was to be reconnected is gone.
    Unknown,
    /// It does not say which account it stands for, or another integration has that account.
    NoAccount,
}

impl Call for BeginConnection<'_> {
    const NAME: &'static str = "begin_connection";
    type Outcome = Begun;
}

/// A started connection is taken, once.
#[derive(Serialize)]
pub struct ConsumeTransaction<'a> {
    /// SHA-256 of the state, hex.
    pub p_state_hash: &'a str,
    /// SHA-256 of the browser's cookie, hex.
    pub p_binding_hash: &'a str,
    /// Who is signed in.
    pub p_user_id: UserId,
}

/// What becomes of [`ConsumeTransaction`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consumed {
    /// It is this caller's alone now.
    Consumed(Transaction),
    /// The user has left the organisation meanwhile.
    NotAMember,
    /// Another browser's or another user's.
    Foreign,
    /// It never was, has expired, or was taken.
    Unknown,
}

/// What [`BeginConnection`] stored.
#[derive(Deserialize)]
pub struct Transaction {
    /// The transaction.
    pub id: TransactionId,
    /// For which organisation.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
    /// The issuer that the callback must name.
    pub issuer: Option<String>,
    /// Exactly what the authorization request said.
    pub redirect_uri: String,
    /// The PKCE verifier, sealed.
    pub verifier: StoredConfig,
    /// Where to go in the end.
    pub return_to: String,
    /// The integration that is reconnected, if it is one.
    pub integration_id: Option<IntegrationId>,
    /// The account that it must come back with; none: it is gone.
    pub account_id: Option<String>,
}

impl Call for ConsumeTransaction<'_> {
    const NAME: &'static str = "consume_transaction";
    type Outcome = Consumed;
}

/// Credentials that a user gives are about to be tried at the provider.
#[derive(Serialize)]
pub struct CheckCredentialAttempts {
    /// Who gives them.
    pub p_user_id: UserId,
    /// For which organisation.
    pub p_organization_id: OrganizationId,
}

/// What becomes of [`CheckCredentialAttempts`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admitted {
    /// They may be tried, once.
    Admitted {
        /// When (RFC 3339).
        at: String,
    },
    /// The user is no member of the organisation.
    NotAMember,
    /// The user has tried too many.
    TooMany {
        /// The next ones may come in so many seconds.
        seconds: u32,
    },
}

impl Call for CheckCredentialAttempts {
    const NAME: &'static str = "check_credential_attempts";
    type Outcome = Admitted;
}

/// A connection is stored: a new row, or the row that stands for the account already.
#[derive(Serialize)]
pub struct CompleteConnection<'a> {
    /// The row, which the sealed values are bound to.
    pub p_id: IntegrationId,
    /// Who connects.
    pub p_user_id: UserId,
    /// For which organisation.
    pub p_organization_id: OrganizationId,
    /// With which provider.
    pub p_integration_type: &'a str,
    /// The account at the provider.
    pub p_external_account_id: &'a str,
    /// The integration's name.
    pub p_name: &'a str,
    /// The config, sealed.
    pub p_config: &'a StoredConfig,
    /// For the event.
    pub p_request_id: &'a str,
    /// The pending grant, deleted in the same transaction; None: credentials that a user gave.
    pub p_pending_id: Option<PendingId>,
    /// Whether the row must exist already, for this account.
    pub p_reconnect: bool,
    /// What this grant does to the one that it replaces.
    pub p_second_grant: Option<SecondGrant>,
    /// When the user gave the credentials; a grant has the time of its pending connection.
    pub p_granted_at: Option<&'a str>,
}

/// What becomes of [`CompleteConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completed {
    /// A new row.
    Created {
        /// Its id.
        id: IntegrationId,
    },
    /// The row had the same account.
    Updated {
        /// Its id.
        id: IntegrationId,
    },
    /// The account stands under another id; nothing was written. Seal for that id and repeat.
    Exists {
        /// That id.
        id: IntegrationId,
    },
    /// The user has left the organisation meanwhile.
    NotAMember,
    /// The grant is not pending any more, or the row that was to be reconnected is gone.
    Unknown,
    /// The row that was to be reconnected stands for another account, or another row for this one.
    Mismatch,
    /// The row has newer credentials.
    Outdated,
    /// Another integration has the name that was given ([`ConnectNamed`]).
    NameTaken,
}

impl Call for CompleteConnection<'_> {
    const NAME: &'static str = "complete_connection";
    type Outcome = Completed;
}

/// The same, under a name that the user has given.
#[derive(Serialize)]
pub struct ConnectNamed<'a> {
    /// What is stored.
    #[serde(flatten)]
    pub connection: CompleteConnection<'a>,
    /// The name.
    pub p_custom_name: &'a str,
}

impl Call for ConnectNamed<'_> {
    const NAME: &'static str = "connect_named";
    type Outcome = Completed;
}

/// A grant that was just received is written down.
#[derive(Serialize)]
pub struct AddPendingConnection<'a> {
    /// What the sealed values are bound to.
    pub p_id: PendingId,
    /// Who connects.
    pub p_user_id: UserId,
    /// For which organization.
    pub p_organization_id: OrganizationId,
    /// With which provider.
    pub p_integration_type: &'a str,
    /// The grant, sealed.
    pub p_config: &'a StoredConfig,
    /// Where the browser goes in the end.
    pub p_return_to: &'a str,
}

/// The outcome of [`AddPendingConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// It is stored or revoked from now on, whatever becomes of this worker.
    Pending,
}

impl Call for AddPendingConnection<'_> {
    const NAME: &'static str = "add_pending_connection";
    type Outcome = Added;
}

/// The user is asked which account to connect.
#[derive(Serialize)]
pub struct OfferAccounts<'a> {
    /// Of which grant.
    pub p_id: PendingId,
    /// Who is asked.
    pub p_user_id: UserId,
    /// The choice.
    pub p_accounts: &'a [Account],
}

/// The outcome of [`OfferAccounts`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offered {
    /// The grant waits for ten minutes.
    Waiting,
    /// The user has left the organization.
    NotAMember,
    /// The grant is not pending any more.
    Unknown,
}

impl Call for OfferAccounts<'_> {
    const NAME: &'static str = "offer_accounts";
    type Outcome = Offered;
}

/// A grant that waits for the user's choice is read.
#[derive(Serialize)]
pub struct PendingConnection<'a> {
    /// Which.
    pub p_id: PendingId,
    /// Who asks.
    pub p_user_id: UserId,
    /// What its credentials are opened for, for the event. None: they are left out.
    pub p_reason: Option<&'a str>,
    /// For the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`PendingConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    /// It waits.
    Waiting(PendingGrant),
    /// Not found, expired, chosen from already, or another user's.
    Unknown,
}

/// A grant that waits for the user's choice.
#[derive(Deserialize)]
pub struct PendingGrant {
    /// For which organization.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
    /// The config without account, sealed; empty where it was not asked for.
    pub config: StoredConfig,
    /// The choice.
    pub accounts: Vec<Account>,
    /// Where the browser goes in the end.
    pub return_to: String,
    /// When the choice expires (RFC 3339).
    pub expires_at: String,
}

impl Call for PendingConnection<'_> {
    const NAME: &'static str = "pending_connection";
    type Outcome = Pending;
}
