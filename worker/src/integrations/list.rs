//! The list of integrations.

use crate::context::Context;
use crate::db::lists;
use crate::error::{ClientError, Error, Result};
use crate::host::{self, JsResponse};
use crate::http::Response;
use crate::ids::OrganizationId;
use serde_json::json;

/// `GET /api/integrations[?organization_id=][&offset=]`: one request to Supabase, with the user's own token. Its rows are passed on as they are.
pub async fn list(context: &Context<'_>) -> Result<JsResponse> {
    let (organization, offset) = parameters(&context.incoming.head.query)?;
    let signed_in = context.signed_in().await?;
    let organization = organization.unwrap_or_else(|| signed_in.user.id.personal_organization());
    let request = lists::list_request(
        &context.settings.supabase,
        &signed_in.token,
        organization,
        offset,
    );
    let answer = host::send(&request)
        .await
        .map_err(|error| Error::no_answer("list", error))?;
    let listed = lists::read_list(answer.status(), answer.is_json(), answer.content_range())?;
    if listed.beyond {
        // Rows were deleted while the caller paged.
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
                offset = number.ok_or(ClientError::Invalid(
                    "offset must be a number up to 1000000",
                ))?;
            }
            _ => {
                return Err(
                    ClientError::Invalid("expected organization_id or offset, each once").into(),
                );
            }
        }
    }
    Ok((organization, offset))
}
