//! A grant that covers several accounts is pending until the user chooses one: `/api/connections/:id`.

use crate::auth::jwt::User;
use crate::connect::store_connection::{self, Connection, Received};
use crate::context::Context;
use crate::credentials::{self, Row};
use crate::db::{Connector, Pending, PendingConnection, PendingGrant};
use crate::error::{ClientError, Error, Result};
use crate::http::Response;
use crate::http::url::with_parameter;
use crate::ids::PendingId;
use crate::jobs::revocations::{self, Ended};
use crate::oauth::Account;
use catalogue::Provider;
use sealed::PlainConfig;
use serde::Deserialize;
use serde_json::json;

pub async fn list(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = PendingId::parse(id)?;
    let user = context.signed_in().await?.user;
    let grant = pending(context, id, &user, None).await?;
    let answer = json!({"integration_type": grant.integration_type, "accounts": grant.accounts, "expires_at": grant.expires_at});
    Ok(Response::json(200, &answer))
}

pub async fn select(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        account_id: String,
    }
    let id = PendingId::parse(id)?;
    let user = context.signed_in().await?.user;
    let body: Body = context.json(r#"expected {"account_id"}"#).await?;
    // Only an account that the provider listed can be chosen, so nobody can claim a foreign account by its id. A wrong id opens nothing.
    let grant = pending(context, id, &user, None).await?;
    chosen(&grant, &body.account_id)?;
    let grant = pending(context, id, &user, Some("choose")).await?;
    let account = chosen(&grant, &body.account_id)?;
    let (provider, config) = open(context, id, &grant).await?;
    let config = credentials::with_account(&config, provider, account);
    let connection = Connection {
        connector: Connector::User(user.id),
        organization: grant.organization_id,
        provider,
        account,
        name: None,
        received: Received::Pending(id),
        reconnected: None,
    };
    // If this fails, the grant is still pending and the user can try again.
    let stored = store_connection::complete(context, &connection, &config).await?;
    let return_to = with_parameter(&grant.return_to, "connected", &stored.id.to_string());
    let mut response = Response::json(200, &json!({"id": stored.id, "return_to": return_to}));
    if context.settings.legacy_cookies {
        response
            .headers
            .extend(store_connection::legacy_cookies(&connection, &stored)?);
    }
    Ok(response)
}

fn chosen<'a>(grant: &'a PendingGrant, account_id: &str) -> Result<&'a Account> {
    let mut accounts = grant.accounts.iter();
    let account = accounts.find(|account| account.id == account_id);
    account.ok_or(Error::Client(ClientError::Invalid(
        "account_id must be one of the connection's accounts",
    )))
}

/// Cancels the connection and revokes the grant.
pub async fn discard(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = PendingId::parse(id)?;
    let user = context.signed_in().await?.user;
    let grant = pending(context, id, &user, None).await?;
    let provider = provider(context, &grant)?;
    let reason = revocations::Reason::Discarded;
    let connector = Connector::User(user.id);
    match revocations::give_up(context, provider, connector, id, reason, None).await? {
        Ended::Revoked(revoked) => Ok(Response::json(
            200,
            &json!({"success": true, "revoked": revoked}),
        )),
        Ended::NotPending => Err(ClientError::UnknownChoice.into()),
    }
}

/// Reads the pending connection, with its credentials if a reason to open them is given.
async fn pending(
    context: &Context<'_>,
    id: PendingId,
    user: &User,
    reason: Option<&str>,
) -> Result<PendingGrant> {
    match context
        .call(&PendingConnection {
            p_id: id,
            p_user_id: user.id,
            p_reason: reason,
            p_request_id: &context.request_id,
        })
        .await?
    {
        Pending::Waiting(grant) => Ok(grant),
        Pending::Unknown => Err(ClientError::UnknownChoice.into()),
    }
}

async fn open<'a>(
    context: &'a Context<'_>,
    id: PendingId,
    grant: &PendingGrant,
) -> Result<(&'a Provider, PlainConfig), Error> {
    let provider = provider(context, grant)?;
    let row = Row::Pending(id);
    let opened = context.open(grant.organization_id, row, &grant.config);
    Ok((provider, opened.await??))
}

fn provider<'a>(context: &'a Context<'_>, grant: &PendingGrant) -> Result<&'a Provider> {
    let provider = context.settings.provider(&grant.integration_type);
    provider.ok_or(ClientError::UnknownProvider.into())
}
