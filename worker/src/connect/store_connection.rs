//! Stores a connection: one transaction writes the row and deletes the pending connection.

use crate::auth::cookies;
use crate::context::{Context, Task};
use crate::credentials::Row;
use crate::db::call::Call;
use crate::db::{CompleteConnection, Completed, ConnectNamed, Connector};
use crate::display_name::Name;
use crate::error::{ClientError, DatabaseFault, Error, Result};
use crate::host::random_uuid;
use crate::ids::{IntegrationId, OrganizationId, PendingId};
use crate::oauth::Account;
use catalogue::{Auth, Provider, SecondGrant};
use sealed::{PlainConfig, StoredConfig};

pub struct Connection<'a> {
    pub connector: Connector,
    pub organization: OrganizationId,
    pub provider: &'a Provider,
    pub account: &'a Account,
    /// The name that the user chose. Without one, the account's name is used.
    pub name: Option<Name<'a>>,
    pub received: Received<'a>,
    /// The integration that is reconnected, if any: no other row may be written.
    pub reconnected: Option<IntegrationId>,
}

#[derive(Clone, Copy)]
pub enum Received<'a> {
    Pending(PendingId),
    /// At this time (RFC 3339).
    Entered(&'a str),
}

pub struct Stored {
    pub id: IntegrationId,
    pub config: StoredConfig,
    pub is_new: bool,
}

/// How many row ids are tried before the caller must try again.
const ATTEMPTS: usize = 3;

/// Writes the row: a new one, or the account's existing one. Sealed values are bound to the row's id, so the config is sealed again if the
/// database names another id.
pub async fn complete(
    context: &Context<'_>,
    connection: &Connection<'_>,
    config: &PlainConfig,
) -> Result<Stored> {
    let mut id = match connection.reconnected {
        Some(id) => id,
        None => IntegrationId(random_uuid()?),
    };
    for _ in 0..ATTEMPTS {
        let write = async || write(context, connection, id, config).await;
        let (completed, sealed) = context.write_sealed(connection.organization, write).await?;
        let (id_written, is_new) = match completed {
            Completed::Created { id } => (id, true),
            Completed::Updated { id } => (id, false),
            Completed::Exists { id: other } => {
                id = other;
                continue;
            }
            Completed::NotAMember => return Err(ClientError::NotAMember.into()),
            Completed::Unknown if connection.reconnected.is_some() => {
                return Err(ClientError::UnknownIntegration.into());
            }
            Completed::Unknown => return Err(ClientError::UnknownChoice.into()),
            Completed::Mismatch => return Err(ClientError::AccountMismatch.into()),
            Completed::Outdated => return Err(ClientError::NewerCredentials.into()),
            Completed::NameTaken => return Err(ClientError::NameTaken.into()),
        };
        return Ok(Stored {
            id: id_written,
            config: sealed,
            is_new,
        });
    }
    Err(not_saved(Error::database_answer(
        "complete_connection: the account's row changed its id each time",
    )))
}

async fn write(
    context: &Context<'_>,
    connection: &Connection<'_>,
    id: IntegrationId,
    config: &PlainConfig,
) -> Result<(Completed, StoredConfig)> {
    let organization = connection.organization;
    let sealed = context
        .seal(organization, Row::Integration(id), config)
        .await?;
    let (p_pending_id, p_granted_at) = match connection.received {
        Received::Pending(id) => (Some(id), None),
        Received::Entered(at) => (None, Some(at)),
    };
    let call = CompleteConnection {
        p_id: id,
        connector: connection.connector.into(),
        p_organization_id: organization,
        p_integration_type: &connection.provider.kind,
        p_external_account_id: &connection.account.id,
        p_name: &connection.account.name,
        p_config: &sealed,
        p_request_id: &context.request_id,
        p_pending_id,
        p_granted_at,
        p_reconnect: connection.reconnected.is_some(),
        p_second_grant: match connection.provider.auth {
            Auth::Oauth => connection.provider.second_grant,
            _ => Some(SecondGrant::Replaces),
        },
    };
    let completed = match &connection.name {
        None => persistently(context, &call).await?,
        Some(name) => {
            let call = ConnectNamed {
                connection: call,
                p_custom_name: name.as_str(),
            };
            persistently(context, &call).await?
        }
    };
    Ok((completed, sealed))
}

/// Repeats a write of unknown outcome once. The write is idempotent, by the connection's id.
pub async fn persistently<C: Call>(task: &Task, call: &C) -> Result<C::Outcome> {
    match task.call(call).await {
        Err(error @ Error::Database { .. }) if !error.is_deleted_data_key() => {
            task.call(call).await.map_err(not_saved)
        }
        other => other,
    }
}

/// The error if a credential could not be written, whatever the reason.
pub fn not_saved(error: Error) -> Error {
    match error {
        Error::Database { detail, .. } => Error::Database {
            fault: DatabaseFault::Save,
            detail,
        },
        other => other,
    }
}

/// The sealed credentials as cookies, for the source document's manual scanner. Only the key opens them, and no browser has it. Deprecated:
/// read the row instead.
pub fn legacy_cookies(
    connection: &Connection<'_>,
    stored: &Stored,
) -> Result<Vec<(&'static str, String)>> {
    const SECONDS: i64 = 3_600;
    let kind = &connection.provider.kind;
    let sealed = &stored.config;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let place = format!("{}.{}", connection.organization, stored.id);
    let values = [
        ("integration", Some(place)),
        ("access_token", sealed.get("access_token").and_then(text)),
        ("refresh_token", sealed.get("refresh_token").and_then(text)),
        (
            "kid",
            sealed
                .get("_enc")
                .and_then(|enc| enc.get("kid"))
                .and_then(text),
        ),
    ];
    let present = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    present
        .map(|(name, value)| {
            Ok((
                "set-cookie",
                cookies::set(&format!("__Host-{kind}-{name}"), &value, SECONDS)?,
            ))
        })
        .collect()
}
