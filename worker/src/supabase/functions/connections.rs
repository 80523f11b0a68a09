//! From a begun connection to a stored one.

use super::Call;
use crate::ids::{IntegrationId, OrganizationId, ParkedId, TransactionId, UserId};
use crate::json::{object, tagged};
use crate::oauth::Account;
use sealed::StoredConfig;
use serde::Serialize;

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

tagged! {
    "outcome"
    /// What becomes of [`BeginConnection`].
    pub enum Begun {
        /// It stands for ten minutes.
        "begun" => Begun,
        /// The user is no member of the organisation.
        "not_a_member" => NotAMember,
        /// The user has too many open.
        "too_many" => TooMany,
        /// The integration that was to be reconnected is gone.
        "unknown" => Unknown,
        /// It does not say which account it stands for, or another integration has that account.
        "no_account" => NoAccount,
    }
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

tagged! {
    "outcome"
    /// What becomes of [`ConsumeTransaction`].
    pub enum Consumed {
        /// It is this caller's alone now.
        "consumed" => Consumed(Transaction),
        /// The user has left the organisation meanwhile.
        "not_a_member" => NotAMember,
        /// Another browser's or another user's.
        "foreign" => Foreign,
        /// It never was, has expired, or was taken.
        "unknown" => Unknown,
    }
}

object! {
    /// What [`BeginConnection`] stored.
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
}

impl Call for ConsumeTransaction<'_> {
    const NAME: &'static str = "consume_transaction";
    type Outcome = Consumed;
}

/// Credentials that a user gives are about to be tried at the provider.
#[derive(Serialize)]
pub struct AdmitCredentials {
    /// Who gives them.
    pub p_user_id: UserId,
    /// For which organisation.
    pub p_organization_id: OrganizationId,
}

tagged! {
    "outcome"
    /// What becomes of [`AdmitCredentials`].
    pub enum Admitted {
        /// They may be tried, once.
        "admitted" => Admitted,
        /// The user is no member of the organisation.
        "not_a_member" => NotAMember,
        /// The user has tried too many.
        "too_many" => TooMany {
            /// The next ones may come in so many seconds.
            seconds: u32,
        },
    }
}

impl Call for AdmitCredentials {
    const NAME: &'static str = "admit_credentials";
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
    /// The grant that waited, if it did: gone in the same transaction.
    pub p_parked_id: Option<ParkedId>,
    /// Whether the row must stand already, for this account.
    pub p_reconnect: bool,
}

tagged! {
    "outcome"
    /// What becomes of [`CompleteConnection`].
    pub enum Completed {
        /// A new row.
        "created" => Created {
            /// Its id.
            id: IntegrationId,
        },
        /// The row had the same account.
        "updated" => Updated {
            /// Its id.
            id: IntegrationId,
        },
        /// The account stands under another id; nothing was written. Seal for that id and repeat.
        "exists" => Exists {
            /// That id.
            id: IntegrationId,
        },
        /// The user has left the organisation meanwhile.
        "not_a_member" => NotAMember,
        /// The grant that waited, or the row that was to be reconnected, is gone.
        "unknown" => Unknown,
        /// The row that was to be reconnected stands for another account, or another row for this one.
        "mismatch" => Mismatch,
        /// Another integration has the name that was given ([`ConnectNamed`]).
        "name_taken" => NameTaken,
    }
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

/// A grant over several accounts waits for the user's choice.
#[derive(Serialize)]
pub struct ParkConnection<'a> {
    /// What the sealed values are bound to meanwhile.
    pub p_id: ParkedId,
    /// Who connects.
    pub p_user_id: UserId,
    /// For which organisation.
    pub p_organization_id: OrganizationId,
    /// With which provider.
    pub p_integration_type: &'a str,
    /// The config without account, sealed.
    pub p_config: &'a StoredConfig,
    /// The choice.
    pub p_accounts: &'a [Account],
    /// Where to go in the end.
    pub p_return_to: &'a str,
}

tagged! {
    "outcome"
    /// What becomes of [`ParkConnection`].
    pub enum Parking {
        /// It waits for ten minutes.
        "parked" => Parked,
        /// The user has left the organisation meanwhile.
        "not_a_member" => NotAMember,
    }
}

impl Call for ParkConnection<'_> {
    const NAME: &'static str = "park_connection";
    type Outcome = Parking;
}

/// A grant that waits is read; it goes on waiting.
#[derive(Serialize)]
pub struct ParkedConnection<'a> {
    /// Which.
    pub p_id: ParkedId,
    /// Who asks.
    pub p_user_id: UserId,
    /// What its credentials are opened for, for the event. None: they are left out.
    pub p_reason: Option<&'a str>,
    /// For the event.
    pub p_request_id: &'a str,
}

tagged! {
    "outcome"
    /// What becomes of [`ParkedConnection`].
    pub enum Parked {
        /// It waits.
        "parked" => Parked(ParkedGrant),
        /// It never was, has expired, was chosen from, or is another user's.
        "unknown" => Unknown,
    }
}

object! {
    /// What [`ParkConnection`] stored.
    pub struct ParkedGrant {
        /// For which organisation.
        pub organization_id: OrganizationId,
        /// With which provider.
        pub integration_type: String,
        /// The config without account, sealed; empty where it was not asked for.
        pub config: StoredConfig,
        /// The choice.
        pub accounts: Vec<Account>,
        /// Where to go in the end.
        pub return_to: String,
        /// Until when it waits (RFC 3339).
        pub expires_at: String,
    }
}

impl Call for ParkedConnection<'_> {
    const NAME: &'static str = "parked_connection";
    type Outcome = Parked;
}

/// A grant that waits is given up.
#[derive(Serialize)]
pub struct DiscardConnection {
    /// Which.
    pub p_id: ParkedId,
    /// Who gives it up.
    pub p_user_id: UserId,
}

tagged! {
    "outcome"
    /// What becomes of [`DiscardConnection`].
    pub enum Discarded {
        /// It is gone.
        "discarded" => Discarded,
        /// It was already.
        "unknown" => Unknown,
    }
}

impl Call for DiscardConnection {
    const NAME: &'static str = "discard_connection";
    type Outcome = Discarded;
}
