//! `GET /api/events`: the events of an organization, or of all, for a program that copies them.

use crate::auth::service_key::Scope;
use crate::context::Context;
use crate::db::cursor::Position;
use crate::db::event_export::{self, EventsExported, ExportEvents};
use crate::error::{ClientError, Result};
use crate::http::query::Query;
use crate::http::{ContentType, Response};
use crate::ids::OrganizationId;

/// `[?organization_id=][&cursor=][&limit=]`: lines of JSON, the oldest first. Without a line there is nothing new yet.
pub async fn export(context: &Context<'_>) -> Result<Response> {
    let query = Query::parse(
        &context.incoming.head.query,
        &["organization_id", "cursor", "limit"],
        "expected organization_id, cursor or limit, each once",
    )?;
    let organization = query.get("organization_id").map(OrganizationId::parse);
    let (organization, limit) = (organization.transpose()?, query.limit()?);
    let after = query.get("cursor").map(Position::parse).transpose()?;
    let principal = context.principal(Scope::ConnectionsRead).await?;
    let call = ExportEvents {
        caller: principal.caller,
        p_organization_id: organization.or(principal.organization),
        after,
        p_limit: limit,
    };
    match context.call(&call).await? {
        EventsExported::Exported { events } => Ok(Response::text(
            ContentType::Ndjson,
            event_export::lines(&events),
        )),
        EventsExported::UnknownCursor => Err(ClientError::UnknownCursor.into()),
    }
}
