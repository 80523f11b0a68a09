//! The integrations: listed with the user's own token, deleted with the grant behind them.

use super::{Context, check, random_uuid, revocations};
use crate::error::{Error, Refusal, Result};
use crate::host::{self, Reply};
use crate::http::Response;
use crate::ids::{IntegrationId, OrganizationId};
use crate::oauth::revoke::Revoked;
use crate::supabase::functions::{DisconnectIntegration, Disconnected};
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

/// How many integrations that share the deleted grant are checked at once.
const SHARED_CHECKS: usize = 10;

/// `DELETE /api/integrations/:id`: the row is deleted first, whatever it holds, and its credential queued for revocation in the same
/// transaction. So the provider is asked only about a grant that no row has any more; if it fails, the schedule goes on asking.
pub async fn disconnect(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let user = context.signed_in().await?.user.id;
    let owner = random_uuid()?;
    let call = DisconnectIntegration {
        p_id: id,
        p_user_id: user,
        p_owner: owner,
        p_wide_types: &revocations::wide_types(context.settings),
        p_request_id: &context.request_id,
    };
    let deleted = match context.call(&call).await? {
        Disconnected::Disconnected(deleted) => deleted,
        Disconnected::Unknown => return Err(Refusal::UnknownIntegration.into()),
    };
    let mut revoked = revocations::revoke(context, owner, &deleted.revocation).await;
    let offer = context.settings.offer(&deleted.revocation.integration_type);
    let ends_all = offer.is_some_and(|offer| offer.provider().revokes_widely());
    if revoked == Revoked::Yes && deleted.earlier_grant && !ends_all {
        revoked = Revoked::Unknown;
    }
    let message = "Integration deleted successfully";
    let mut answer = json!({"success": true, "message": message, "revoked": revoked});
    if revoked == Revoked::Yes && !deleted.shared.is_empty() {
        for shared in deleted.shared.iter().take(SHARED_CHECKS) {
            check::by_itself(context, shared.id).await;
        }
        let visible = deleted.shared.iter().filter(|shared| shared.visible);
        answer["ended"] = visible.map(|shared| json!(shared.id)).collect();
    }
    Ok(Response::json(200, &answer))
}
