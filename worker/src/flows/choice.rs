//! A grant over several accounts waits until the user has said which: `/api/connections/:id`.

use super::Context;
use super::completion::{self, Connection};
use crate::credentials::{self, Row, credential};
use crate::error::{Error, Refusal, Result};
use crate::http::Response;
use crate::ids::ParkedId;
use crate::json::object;
use crate::oauth::Client;
use crate::oauth::revoke::Revoked;
use crate::session::jwt::User;
use crate::supabase::functions::{
    DiscardConnection, Discarded, Parked, ParkedConnection, ParkedGrant,
};
use crate::url::with_parameter;
use sealed::PlainConfig;
use serde_json::json;

/// What there is to choose from.
pub async fn choices(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = ParkedId::parse(id)?;
    let user = context.signed_in().await?.user;
    let grant = parked(context, id, &user, None).await?;
    let answer = json!({"integration_type": grant.integration_type, "accounts": grant.accounts, "expires_at": grant.expires_at});
    Ok(Response::json(200, &answer))
}

/// Connects the chosen account.
pub async fn choose(context: &Context<'_>, id: &str) -> Result<Response> {
    object! {
        exact struct Body {
            account_id: String,
        }
    }
    let id = ParkedId::parse(id)?;
    let user = context.signed_in().await?.user;
    let body: Body = context.json(r#"expected {"account_id"}"#).await?;
    let grant = parked(context, id, &user, Some("choose")).await?;
    // Only what the provider listed: an account of somebody else's cannot be claimed by its id.
    let account = grant
        .accounts
        .iter()
        .find(|account| account.id == body.account_id)
        .ok_or(Refusal::Invalid(
            "account_id must be one of the accounts on offer",
        ))?;
    let (client, config) = open(context, id, &grant)?;
    let config = credentials::with_account(&config, &client.provider, account);
    let connection = Connection {
        user: &user,
        organization: grant.organization_id,
        provider: &client.provider,
        account,
        name: None,
        parked: Some(id),
        reconnected: None,
    };
    // Where this fails the grant goes on waiting, so the user can try again.
    let stored = completion::complete(context, &connection, &config).await?;
    let return_to = with_parameter(&grant.return_to, "connected", &stored.id.to_string());
    let mut response = Response::json(200, &json!({"id": stored.id, "return_to": return_to}));
    if context.settings.legacy_cookies {
        response
            .headers
            .extend(completion::legacy_cookies(&connection, &stored)?);
    }
    Ok(response)
}

/// Gives the grant up, at the provider too.
pub async fn discard(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = ParkedId::parse(id)?;
    let user = context.signed_in().await?.user;
    let grant = parked(context, id, &user, Some("discard")).await?;
    let revoked = match open(context, id, &grant) {
        Ok((client, config)) => {
            let (access, refresh) = (
                credential(&config, "access_token"),
                credential(&config, "refresh_token"),
            );
            completion::revoke(context, client, access.as_ref(), refresh.as_ref()).await
        }
        Err(_) => Revoked::No,
    };
    match context
        .call(&DiscardConnection {
            p_id: id,
            p_user_id: user.id,
        })
        .await?
    {
        Discarded::Discarded => Ok(Response::json(
            200,
            &json!({"success": true, "revoked": revoked}),
        )),
        Discarded::Unknown => Err(Refusal::UnknownChoice.into()),
    }
}

/// The grant that waits; with its credentials if there is something to open them for.
async fn parked(
    context: &Context<'_>,
    id: ParkedId,
    user: &User,
    reason: Option<&str>,
) -> Result<ParkedGrant> {
    match context
        .call(&ParkedConnection {
            p_id: id,
            p_user_id: user.id,
            p_reason: reason,
            p_request_id: &context.request_id,
        })
        .await?
    {
        Parked::Parked(grant) => Ok(grant),
        Parked::Unknown => Err(Refusal::UnknownChoice.into()),
    }
}

fn open<'a>(
    context: &'a Context<'_>,
    id: ParkedId,
    grant: &ParkedGrant,
) -> Result<(&'a Client, PlainConfig), Error> {
    let client = context.settings.client(&grant.integration_type)?;
    let config = credentials::open(
        &context.settings.ring,
        grant.organization_id,
        Row::Parked(id),
        &grant.config,
    )?;
    Ok((client, config))
}
