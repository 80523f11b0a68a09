//! The database's functions (`migrations/`, `docs/database.md`): each call one transaction, each answer one outcome.

use super::Project;
use crate::error::{Error, Result};
use crate::http::{Inbound, Outbound};
use crate::ids::{IntegrationId, OrganizationId, ParkedId, TransactionId, UserId};
use crate::oauth::Account;
use sealed::StoredConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A call of a function: its name, its arguments, and what it answers.
pub trait Call: Serialize {
    /// The function's name in schema public.
    const NAME: &'static str;
    /// Its outcomes.
    type Outcome: DeserializeOwned;
}

/// Builds the request of a call.
pub fn request<C: Call>(project: &Project, call: &C) -> Outbound {
    // Ids, texts and JSON objects: serializing them cannot fail.
    let body = serde_json::to_string(call).unwrap_or_default();
    project.request(
        "POST",
        &format!("/rest/v1/rpc/{}", C::NAME),
        &project.service_key,
        None,
        Some(body),
    )
}

/// Reads the response of a call.
pub fn read<C: Call>(answer: &Inbound) -> Result<C::Outcome> {
    if answer.status != 200 {
        return Err(Error::refused(C::NAME, answer.status, &answer.body));
    }
    if !answer.is_json() {
        return Err(Error::database_answer(format!(
            "{}: the answer is not JSON",
            C::NAME
        )));
    }
    // serde's message names the place and the expected type; a value of the answer could stand in it, so it is left out.
    serde_json::from_str(&answer.body).map_err(|error| {
        Error::database_answer(format!(
            "{}: unexpected outcome at column {}",
            C::NAME,
            error.column()
        ))
    })
}

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
}

/// What becomes of [`BeginConnection`].
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Begun {
    /// It stands for ten minutes.
    Begun,
    /// The user is no member of the organisation.
    NotAMember,
    /// The user has too many open.
    TooMany,
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
#[serde(tag = "outcome", rename_all = "snake_case")]
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
}

impl Call for ConsumeTransaction<'_> {
    const NAME: &'static str = "consume_transaction";
    type Outcome = Consumed;
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
}

/// What becomes of [`CompleteConnection`].
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
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
    /// The grant that waited is gone.
    Unknown,
}

impl Call for CompleteConnection<'_> {
    const NAME: &'static str = "complete_connection";
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

/// What becomes of [`ParkConnection`].
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Parking {
    /// It waits for ten minutes.
    Parked,
    /// The user has left the organisation meanwhile.
    NotAMember,
}

impl Call for ParkConnection<'_> {
    const NAME: &'static str = "park_connection";
    type Outcome = Parking;
}

/// A grant that waits is read; it goes on waiting.
#[derive(Serialize)]
pub struct ParkedConnection {
    /// Which.
    pub p_id: ParkedId,
    /// Who asks.
    pub p_user_id: UserId,
}

/// What becomes of [`ParkedConnection`].
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Parked {
    /// It waits.
    Parked(ParkedGrant),
    /// It never was, has expired, was chosen from, or is another user's.
    Unknown,
}

/// What [`ParkConnection`] stored.
#[derive(Deserialize)]
pub struct ParkedGrant {
    /// For which organisation.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
    /// The config without account, sealed.
    pub config: StoredConfig,
    /// The choice.
    pub accounts: Vec<Account>,
    /// Where to go in the end.
    pub return_to: String,
    /// Until when it waits (RFC 3339).
    pub expires_at: String,
}

impl Call for ParkedConnection {
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

/// What becomes of [`DiscardConnection`].
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Discarded {
    /// It is gone.
    Discarded,
    /// It was already.
    Unknown,
}

impl Call for DiscardConnection {
    const NAME: &'static str = "discard_connection";
    type Outcome = Discarded;
}

/// An integration is read with its credentials, sealed.
#[derive(Serialize)]
pub struct FindIntegration {
    /// Which.
    pub p_id: IntegrationId,
    /// Who asks.
    pub p_user_id: UserId,
}

/// What becomes of [`FindIntegration`].
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Found {
    /// It is the user's to see.
    Found(Integration),
    /// It is not, or there is none.
    Unknown,
}

/// A row of `integrations`, as far as a disconnect needs it.
#[derive(Deserialize)]
pub struct Integration {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// With which provider.
    pub integration_type: String,
    /// The config as it is stored; the source's writers may have left any JSON in it.
    pub config: serde_json::Value,
}

impl Call for FindIntegration {
    const NAME: &'static str = "find_integration";
    type Outcome = Found;
}

/// An integration is deleted.
#[derive(Serialize)]
pub struct DisconnectIntegration<'a> {
    /// Which.
    pub p_id: IntegrationId,
    /// Who deletes it.
    pub p_user_id: UserId,
    /// What the provider said to the revocation: `true`, `false` or `unsupported`.
    pub p_revoked: &'a str,
    /// For the event.
    pub p_request_id: &'a str,
}

/// What becomes of [`DisconnectIntegration`].
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Disconnected {
    /// It is gone.
    Disconnected,
    /// It was already, or is not the user's.
    Unknown,
}

impl Call for DisconnectIntegration<'_> {
    const NAME: &'static str = "disconnect_integration";
    type Outcome = Disconnected;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str, body: &str) -> Inbound {
        Inbound {
            status,
            content_type: content_type.into(),
            body: body.into(),
        }
    }

    #[test]
    fn an_outcome_is_read_by_its_name() {
        let json = "application/json; charset=utf-8";
        assert!(matches!(
            read::<BeginConnection>(&answer(200, json, r#"{"outcome":"too_many"}"#)),
            Ok(Begun::TooMany)
        ));
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let body = format!(r#"{{"outcome":"exists","id":"{id}"}}"#);
        match read::<CompleteConnection>(&answer(200, json, &body)) {
            Ok(Completed::Exists { id: read }) => assert_eq!(read.to_string(), id),
            _ => panic!("expected exists"),
        }
    }

    // attacks.md 31
    #[test]
    fn whatever_is_no_outcome_is_no_success() {
        for (status, content_type, body) in [
            (200, "text/html", r#"{"outcome":"begun"}"#),
            (200, "application/json", "<html>planted</html>"),
            (200, "application/json", r#"{"outcome":"planted"}"#),
            (200, "application/json", "null"),
            (201, "application/json", r#"{"outcome":"begun"}"#),
            (204, "", ""),
            (401, "application/json", r#"{"message":"planted"}"#),
            (409, "application/json", "{}"),
            (500, "text/html", "planted"),
        ] {
            match read::<BeginConnection>(&answer(status, content_type, body)) {
                Err(Error::Database { detail, .. }) => {
                    assert!(!detail.contains("planted"), "{detail}")
                }
                _ => panic!("{status} {content_type} {body} was taken for an outcome"),
            }
        }
    }
}
