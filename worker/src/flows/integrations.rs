//! The integrations: listed with the user's own eyes, deleted with the grant behind them.

use super::{Context, completion};
use crate::credentials::{self, Row, credential};
use crate::error::{Error, Refusal, Result};
use crate::host::{self, Reply, log};
use crate::http::Response;
use crate::ids::{IntegrationId, OrganizationId, UserId};
use crate::oauth::revoke::Revoked;
use crate::supabase::functions::{
    DisconnectAsRead, DisconnectIntegration, Disconnected, FindIntegration, Found, Integration,
};
use crate::supabase::rest;
use serde_json::json;

/// `GET /api/integrations[?organization_id=][&offset=]`: one request to Supabase, whose rows go through as they are.
pub async fn list(context: &Context<'_>) -> Result<Reply> {
    let (organization, offset) = parameters(&context.incoming.head.query)?;
    let signed_in = context.signed_in().await?;
    let organization = organization.unwrap_or_else(|| signed_in.user.id.personal_organization());
    let request = rest::list_request(
        &context.settings.supabase,
        &signed_in.token,
        organization,
        offset,
    );
    let answer = host::send(&request)
        .await
        .map_err(|error| Error::no_answer("list", error))?;
    let listed = rest::read_list(answer.status(), answer.is_json(), answer.content_range())?;
    if listed.beyond {
        // Rows went while the caller paged.
        let empty = json!({"integrations": [], "count": listed.count});
        return Ok(Response::json(200, &empty).into());
    }
    Ok(answer.relay_list(listed.count))
}

fn parameters(query: &str) -> Result<(Option<OrganizationId>, usize)> {
    let (mut organization, mut offset) = (None, 0);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "organization_id" if organization.is_none() => {
                organization = Some(OrganizationId::parse(&value)?)
            }
            "offset" => {
                let number = value.parse().ok().filter(|number| *number <= 1_000_000);
                offset = number.ok_or(Refusal::Invalid("offset must be a number up to 1000000"))?;
            }
            _ => {
                return Err(
                    Refusal::Invalid("expected organization_id or offset, each once").into(),
                );
            }
        }
    }
    Ok((organization, offset))
}

/// How often the credential may have become another one between its revocation and the deletion.
const ATTEMPTS: usize = 3;

/// `DELETE /api/integrations/:id`: revoked at the provider as well as that goes, then deleted whatever the provider said. A refresh in
/// between brings tokens that were not revoked; then it is done again, so that what is said holds for what is deleted.
pub async fn disconnect(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let user = context.signed_in().await?.user.id;
    let deletion = |revoked: Revoked| DisconnectIntegration {
        p_id: id,
        p_user_id: user,
        p_revoked: revoked.as_str(),
        p_request_id: &context.request_id,
    };
    for _ in 0..ATTEMPTS {
        let found = find(context, id, user).await?;
        let revoked = revoke(context, id, &found).await;
        let call = DisconnectAsRead {
            integration: deletion(revoked),
            p_version: &found.version,
        };
        match context.call(&call).await? {
            Disconnected::Changed => {}
            outcome => return deleted(outcome, revoked),
        }
    }
    log::warning(
        &context.request_id,
        "a credential changed each time it was revoked; its grant may still stand at the provider",
    );
    deleted(context.call(&deletion(Revoked::No)).await?, Revoked::No)
}

async fn find(context: &Context<'_>, id: IntegrationId, user: UserId) -> Result<Integration> {
    let call = FindIntegration {
        p_id: id,
        p_user_id: user,
        p_reason: "disconnect",
        p_request_id: &context.request_id,
    };
    match context.call(&call).await? {
        Found::Found(integration) => Ok(integration),
        Found::Unknown => Err(Refusal::UnknownIntegration.into()),
    }
}

fn deleted(outcome: Disconnected, revoked: Revoked) -> Result<Response> {
    match outcome {
        Disconnected::Disconnected => {
            let message = "Integration deleted successfully";
            Ok(Response::json(
                200,
                &json!({"success": true, "message": message, "revoked": revoked}),
            ))
        }
        Disconnected::Unknown => Err(Refusal::UnknownIntegration.into()),
        Disconnected::Changed => Err(Error::database_answer(
            "disconnect_integration: the outcome of another call",
        )),
    }
}

/// A row that cannot be opened, or whose provider is not configured any more, is deleted all the same; what is left at the
/// provider is said.
async fn revoke(context: &Context<'_>, id: IntegrationId, integration: &Integration) -> Revoked {
    let Some(offer) = context.settings.offer(&integration.integration_type) else {
        log::warning(
            &context.request_id,
            "not revoked: the provider of this integration is not configured",
        );
        return Revoked::No;
    };
    if offer.provider().revocation.is_none() {
        return Revoked::Unsupported;
    }
    let Some(config) = integration.config.as_object() else {
        return Revoked::No;
    };
    match credentials::open(
        &context.settings.ring,
        integration.organization_id,
        Row::Integration(id),
        config,
    ) {
        Ok(config) => {
            let Some(client) = offer.client(&config) else {
                return Revoked::No;
            };
            let (access, refresh) = (
                credential(&config, "access_token"),
                credential(&config, "refresh_token"),
            );
            completion::revoke(context, &client, access.as_ref(), refresh.as_ref()).await
        }
        Err(error) => {
            log::warning(
                &context.request_id,
                &format!("not revoked: {}", error.detail().unwrap_or_default()),
            );
            Revoked::No
        }
    }
}
