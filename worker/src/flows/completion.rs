//! The end of every connection: the row is written in one transaction, or the grant is taken back.

use super::{Context, Task, random_uuid};
use crate::credentials::{self, Row};
use crate::error::{DatabaseFault, Error, Refusal, Result};
use crate::host;
use crate::ids::{IntegrationId, OrganizationId, ParkedId};
use crate::name::Name;
use crate::oauth::revoke::{self, Revoked};
use crate::oauth::{Account, Client};
use crate::providers::Provider;
use crate::session::cookies;
use crate::session::jwt::User;
use crate::supabase::functions::{Call, CompleteConnection, Completed, ConnectNamed};
use sealed::{PlainConfig, Secret, StoredConfig};

/// What is connected, for whom.
pub struct Connection<'a> {
    /// Who connects.
    pub user: &'a User,
    /// For which organisation.
    pub organization: OrganizationId,
    /// With which provider.
    pub provider: &'a Provider,
    /// The account at the provider.
    pub account: &'a Account,
    /// The name that the user has given, if it is not to be the account's.
    pub name: Option<Name<'a>>,
    /// The grant that waited for the choice, if it did.
    pub parked: Option<ParkedId>,
    /// The integration that is reconnected, if it is one: no other row may be written.
    pub reconnected: Option<IntegrationId>,
}

/// What was written.
pub struct Stored {
    /// The row.
    pub id: IntegrationId,
    /// Its config.
    pub config: StoredConfig,
    /// Whether there was no such row before.
    pub is_new: bool,
}

/// How often the row's id may turn out to be another one before the caller is told to try again.
const ATTEMPTS: usize = 3;

/// Writes the row: a new one, or the one that the account has already. Sealed values are bound to the row's id, so they are sealed
/// anew for the id that the database names.
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
        let row = Row::Integration(id);
        let sealed = credentials::seal(
            &context.settings.ring,
            connection.organization,
            row,
            config,
            &mut host::random,
        )?;
        let call = CompleteConnection {
            p_id: id,
            p_user_id: connection.user.id,
            p_organization_id: connection.organization,
            p_integration_type: &connection.provider.kind,
            p_external_account_id: &connection.account.id,
            p_name: &connection.account.name,
            p_config: &sealed,
            p_request_id: &context.request_id,
            p_parked_id: connection.parked,
            p_reconnect: connection.reconnected.is_some(),
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
        let (id_written, is_new) = match completed {
            Completed::Created { id } => (id, true),
            Completed::Updated { id } => (id, false),
            Completed::Exists { id: other } => {
                id = other;
                continue;
            }
            Completed::NotAMember => return Err(Refusal::NotAMember.into()),
            Completed::Unknown if connection.reconnected.is_some() => {
                return Err(Refusal::UnknownIntegration.into());
            }
            Completed::Unknown => return Err(Refusal::UnknownChoice.into()),
            Completed::Mismatch => return Err(Refusal::AccountMismatch.into()),
            Completed::NameTaken => return Err(Refusal::NameTaken.into()),
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

/// The code is spent and the tokens exist nowhere else, so a write that failed is tried once more; it is by id, so twice is once.
async fn persistently<C: Call>(context: &Context<'_>, call: &C) -> Result<C::Outcome> {
    match context.call(call).await {
        Err(Error::Database { .. }) => context.call(call).await.map_err(not_saved),
        other => other,
    }
}

/// A credential could not be written, whatever the reason: the source document's message.
pub fn not_saved(error: Error) -> Error {
    match error {
        Error::Database { detail, .. } => Error::Database {
            fault: DatabaseFault::Save,
            detail,
        },
        other => other,
    }
}

/// Takes a grant back at the provider, as well as that goes.
pub async fn revoke(
    task: &Task,
    client: &Client,
    access: Option<&Secret>,
    refresh: Option<&Secret>,
) -> Revoked {
    let revoked = match revoke::request(client, access, refresh) {
        Ok(request) => revoke::read(&client.provider, &host::fetch(&request).await),
        Err(revoked) => revoked,
    };
    if revoked == Revoked::No {
        host::log::warning(
            &task.request_id,
            "a grant could not be revoked at the provider and may still stand there",
        );
    }
    revoked
}

/// The sealed credentials as cookies, for the source document's manual scanner, with what it takes to open them. They open with
/// the key alone, which no browser has. Deprecated: read the row instead.
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
