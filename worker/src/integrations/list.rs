//! The list of integrations.

use crate::auth::service_key::Scope;
use crate::context::Context;
use crate::db::integration::{self, Filter, Integration};
use crate::db::lists;
use crate::db::page::page;
use crate::db::project::Reader;
use crate::error::{ClientError, Error, Result};
use crate::host::{self, JsResponse};
use crate::http::Response;
use crate::http::query::Query;
use crate::ids::OrganizationId;
use crate::tags;
use serde::Serialize;
use serde_json::json;

/// `GET /api/integrations`
pub async fn list(context: &Context<'_>) -> Result<JsResponse> {
    if context.has_service_key() {
        return of_program(context).await.map(Into::into);
    }
    of_user(context).await
}

/// `[?organization_id=][&tag=][&offset=]`: one request to Supabase, with the user's own token. Its rows are passed on as they are.
async fn of_user(context: &Context<'_>) -> Result<JsResponse> {
    let (organization, tag, offset) = parameters(&context.incoming.head.query)?;
    let signed_in = context.signed_in().await?;
    let personal = signed_in.user.id.personal_organization();
    let reader = &Reader::User(signed_in.token);
    let project = &context.settings.supabase;
    let organization = organization.unwrap_or(personal);
    let request = lists::list_request(project, reader, organization, &tag, offset);
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

/// `[?organization_id=][&integration_type=][&status=][&external_user_id=][&tag=][&cursor=][&limit=]`: a page, of the key's organization or of all.
async fn of_program(context: &Context<'_>) -> Result<Response> {
    #[derive(Serialize)]
    struct Page {
        integrations: Vec<Integration>,
        next_cursor: Option<String>,
    }
    let query = Query::parse(
        &context.incoming.head.query,
        &Filter::NAMES,
        "expected organization_id, integration_type, status, external_user_id, tag, cursor or limit, each once",
    )?;
    let (mut filter, limit) = (Filter::parse(&query)?, query.limit()?);
    let principal = context.principal(Scope::ConnectionsRead).await?;
    filter.organization = filter.organization.or(principal.organization);
    let project = &context.settings.supabase;
    let request = |after: &str, limit| {
        integration::list_request(project, &principal.reader, &filter, after, limit)
    };
    let (rows, next_cursor): (Vec<Integration>, _) =
        page("integrations", query.get("cursor"), limit, request).await?;
    let compared = rows.into_iter().map(|row| row.compared(context.settings));
    let page = Page {
        integrations: compared.collect(),
        next_cursor,
    };
    Ok(Response::json(200, &page))
}

fn parameters(query: &str) -> Result<(Option<OrganizationId>, String, usize)> {
    let (mut organization, mut tag, mut offset) = (None, String::new(), 0);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "organization_id" if organization.is_none() => {
                organization = Some(OrganizationId::parse(&value)?)
            }
            "tag" if tag.is_empty() => tag = tags::filter(Some(&value))?,
            "offset" => {
                let number = value.parse().ok().filter(|number| *number <= 1_000_000);
                offset = number.ok_or(ClientError::Invalid(
                    "offset must be a number up to 1000000",
                ))?;
            }
            _ => {
                return Err(ClientError::Invalid(
                    "expected organization_id, tag or offset, each once",
                )
                .into());
            }
        }
    }
    Ok((organization, tag, offset))
}
