//! Connecting an account with credentials instead of OAuth: `POST /api/integrations`, and replacing the credentials of an integration.
//!
//! The provider checks the credentials before anything is stored, and says which account they belong to.

use crate::connect::credential_fields;
use crate::connect::store_connection::{self, Connection, Received};
use crate::context::Context;
use crate::credentials::{self, credential};
use crate::db::project::Reader;
use crate::db::{Admitted, CheckCredentialAttempts, Connector};
use crate::display_name::Name;
use crate::error::{ClientError, Error, Result};
use crate::host::{self, UpstreamResponse, log, now};
use crate::http::{HttpResponse, Response, SendError};
use crate::ids::{IntegrationId, OrganizationId};
use crate::integrations::detail;
use crate::jobs::revocations;
use crate::oauth::{Account, identity, token};
use crate::offer::Offer;
use sealed::PlainConfig;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::iter;

/// `POST /api/integrations`
pub async fn create(context: &Context<'_>) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        integration_type: String,
        organization_id: Option<String>,
        name: Option<String>,
        fields: Map<String, Value>,
    }
    const EXPECTED: &str =
        r#"expected {"integration_type", "organization_id"?, "name"?, "fields"}"#;
    let signed_in = context.signed_in().await?;
    let connector = Connector::User(signed_in.user.id);
    let body: Body = context.json(EXPECTED).await?;
    let offer = context.settings.direct(&body.integration_type)?;
    let organization = match &body.organization_id {
        Some(id) => OrganizationId::parse(id)?,
        None => signed_in.user.id.personal_organization(),
    };
    let name = body.name.as_deref().map(Name::parse).transpose()?;
    let given = credential_fields::read(offer.provider(), body.fields)?;
    let admitted_at = admit(context, connector, organization).await?;
    let (account, config) = checked(context, offer, given).await?;
    let connection = Connection {
        connector,
        organization,
        provider: offer.provider(),
        account: &account,
        name,
        received: Received::Entered(&admitted_at),
        reconnected: None,
    };
    let completed = stored(context, offer, &connection, &config).await?;
    let response = detail::shown(context, &Reader::User(signed_in.token), completed.id).await?;
    let status = if completed.is_new { 201 } else { 200 };
    Ok(Response { status, ..response })
}

/// `PUT /api/integrations/:id/credentials`: only credentials of the same account.
pub async fn replace(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        fields: Map<String, Value>,
    }
    let id = IntegrationId::parse(id)?;
    let signed_in = context.signed_in().await?;
    let connector = Connector::User(signed_in.user.id);
    let body: Body = context.json(r#"expected {"fields"}"#).await?;
    let reader = Reader::User(signed_in.token);
    let owner = detail::owner(context, &reader, id).await?;
    let offer = context.settings.direct(&owner.integration_type)?;
    let given = credential_fields::read(offer.provider(), body.fields)?;
    let admitted_at = admit(context, connector, owner.organization_id).await?;
    let (account, config) = checked(context, offer, given).await?;
    let connection = Connection {
        connector,
        organization: owner.organization_id,
        provider: offer.provider(),
        account: &account,
        name: None,
        received: Received::Entered(&admitted_at),
        reconnected: Some(id),
    };
    stored(context, offer, &connection, &config).await?;
    detail::shown(context, &reader, id).await
}

/// Rejects users who are no members, and users who try key after key, and ensures that the credentials can be sealed, before the provider is
/// asked. Returns the time.
pub async fn admit(
    context: &Context<'_>,
    connector: Connector,
    organization: OrganizationId,
) -> Result<String> {
    let call = CheckCredentialAttempts {
        connector: connector.into(),
        p_organization_id: organization,
    };
    match context.call(&call).await? {
        Admitted::Admitted { at } => {
            context.prepare_sealing(iter::once(organization)).await?;
            Ok(at)
        }
        Admitted::NotAMember => Err(ClientError::NotAMember.into()),
        Admitted::TooMany { seconds } => Err(ClientError::TooManyAttempts { seconds }.into()),
    }
}

/// Returns the account that the provider names for these credentials, and the config to store.
pub async fn checked(
    context: &Context<'_>,
    offer: &Offer,
    mut config: PlainConfig,
) -> Result<(Account, PlainConfig)> {
    if let Some(client) = offer.client(&config) {
        let request = token::client_credentials_request(&client);
        let answer = taken(context, "token endpoint", host::send(&request).await)?;
        let mut grant =
            token::read(&client.provider, answer, now()).map_err(|unusable| unusable.error)?;
        grant
            .scopes
            .get_or_insert_with(|| client.provider.scopes.clone());
        config = credentials::renewed(&config, &grant);
    }
    match account_of(context, offer, &config).await {
        Ok(account) => {
            let config = credentials::with_account(&config, offer.provider(), &account);
            Ok((account, config))
        }
        Err(error) => {
            revoke(context, offer, &config).await;
            Err(error)
        }
    }
}

async fn account_of(context: &Context<'_>, offer: &Offer, config: &PlainConfig) -> Result<Account> {
    let request = identity::request(offer, config).ok_or(Error::Internal {
        detail: "an entry of the catalogue wants what it does not ask for".to_owned(),
    })?;
    let answer = taken(context, "identity endpoint", host::send(&request).await)?;
    let accounts = identity::read(offer, config, answer, identity::Asked::All)?;
    Ok(accounts.into_iter().next().ok_or(ClientError::NoAccounts)?)
}

/// Returns the response, unless it rejects the credentials or asks for a pause.
fn taken(
    context: &Context<'_>,
    what: &str,
    answer: Result<UpstreamResponse, SendError>,
) -> Result<Result<HttpResponse, SendError>> {
    ensure_not_paused(&answer)?;
    let answer = answer.map(|answer| answer.read());
    if credential_fields::is_refused(&answer) {
        let status = answer.map(|answer| answer.status).unwrap_or_default();
        let detail = format!("credentials refused: {what}: answered {status}");
        log::warning(&context.request_id, &detail);
        return Err(ClientError::CredentialsRefused.into());
    }
    Ok(answer)
}

/// Rejects the request as long as the provider asks to wait.
pub fn ensure_not_paused(answer: &Result<UpstreamResponse, SendError>) -> Result<()> {
    /// The pause after a 429 that asks for none, in seconds.
    const PAUSE: u32 = 60;
    let Ok(answer) = answer else {
        return Ok(());
    };
    match (
        answer.limits().pause(answer.status(), now()),
        answer.status(),
    ) {
        (Some(seconds), _) => Err(ClientError::ProviderPaused { seconds }.into()),
        (None, 429) => Err(ClientError::ProviderPaused { seconds: PAUSE }.into()),
        _ => Ok(()),
    }
}

/// Stores the config. If the database rejects it, the token that was requested with it is revoked. If the outcome is unknown, the token is left
/// alone: it may be stored, and it expires.
async fn stored(
    context: &Context<'_>,
    offer: &Offer,
    connection: &Connection<'_>,
    config: &PlainConfig,
) -> Result<store_connection::Stored> {
    let result = store_connection::complete(context, connection, config).await;
    if let Err(Error::Client(_)) = &result {
        revoke(context, offer, config).await;
    }
    result
}

/// Revokes the token that was requested with the credentials, if any: it is stored nowhere.
pub async fn revoke(context: &Context<'_>, offer: &Offer, config: &PlainConfig) {
    if let (Some(client), Some(access_token)) =
        (offer.client(config), credential(config, "access_token"))
    {
        revocations::directly(context, &client, &access_token, None).await;
    }
}
