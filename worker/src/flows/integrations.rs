//! The integrations: listed with the user's own eyes, deleted with the grant behind them.

use super::{Context, completion};
use crate::credentials::{self, Row, credential};
use crate::error::{Error, Refusal, Result};
use crate::host::{self, Reply, log};
use crate::http::Response;
use crate::ids::{IntegrationId, OrganizationId};
use crate::oauth::revoke::Revoked;
use crate::supabase::functions::{
    DisconnectIntegration, Disconnected, FindIntegration, Found, Integration,
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
    let listed = rest::read_list(answer.status(), answer.is_json(), &answer.content_range())?;
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

/// `DELETE /api/integrations/:id`: revoked at the provider as well as that goes, then deleted whatever the provider said.
pub async fn disconnect(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let user = context.signed_in().await?.user;
    let integration = match context
        .call(&FindIntegration {
            p_id: id,
            p_user_id: user.id,
            p_reason: "disconnect",
            p_request_id: &context.request_id,
        })
        .await?
    {
        Found::Found(integration) => integration,
        Found::Unknown => return Err(Refusal::UnknownIntegration.into()),
    };
    let revoked = revoke(context, id, &integration).await;
    let call = DisconnectIntegration {
        p_id: id,
        p_user_id: user.id,
        p_revoked: revoked.as_str(),
        p_request_id: &context.request_id,
    };
    match context.call(&call).await? {
        Disconnected::Disconnected => {
            let message = "Integration deleted successfully";
            Ok(Response::json(
                200,
                &json!({"success": true, "message": message, "revoked": revoked}),
            ))
        }
        Disconnected::Unknown => Err(Refusal::UnknownIntegration.into()),
    }
}

/// A row that cannot be opened, or whose provider is not configured any more, is deleted all the same; what is left at the
/// provider is said.
async fn revoke(context: &Context<'_>, id: IntegrationId, integration: &Integration) -> Revoked {
    let Some(client) = context.settings.client(&integration.integration_type) else {
        log::warning(
            &context.request_id,
            "not revoked: the provider of this integration is not configured",
        );
        return Revoked::No;
    };
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
            let (access, refresh) = (
                credential(&config, "access_token"),
                credential(&config, "refresh_token"),
            );
            completion::revoke(context, client, access.as_ref(), refresh.as_ref()).await
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
