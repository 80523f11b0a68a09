//! `/api/mutes`: a member's decision to hide findings until a day.

use crate::auth::service_key;
use crate::context::Context;
use crate::db::mutes::{
    self as rows, EndMute, Mute, MuteEnded, MuteFindings, MuteReason, Muted, NewMute,
};
use crate::db::page::page;
use crate::error::{ClientError, Result};
use crate::http::Response;
use crate::http::query::Query;
use crate::ids::{IntegrationId, MuteId, OrganizationId};
use crate::moment;
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use serde_json::json;

const BAD_END: ClientError = ClientError::Invalid(
    "expires_at must be a time as RFC 3339 writes it, in the future and within a year",
);

/// `GET /api/mutes`: a page, the newest first.
pub async fn list(context: &Context<'_>) -> Result<Response> {
    #[derive(Serialize)]
    struct Listed {
        mutes: Vec<Mute>,
        next_cursor: Option<String>,
    }
    let query = Query::parse(
        &context.incoming.head.query,
        &["organization_id", "active", "cursor", "limit"],
        "expected organization_id, active, cursor or limit, each once",
    )?;
    let organization = query
        .get("organization_id")
        .map(OrganizationId::parse)
        .transpose()?;
    let active = query.flag("active", "active must be true or false")?;
    let limit = query.limit()?;
    let principal = context.principal(service_key::Scope::FindingsRead).await?;
    let organization = organization.or(principal.organization);
    let (project, reader) = (&context.settings.supabase, &principal.reader);
    let request = |after: &str, limit| {
        rows::list_request(project, reader, organization, active, after, limit)
    };
    let (mutes, next_cursor) = page("mutes", query.get("cursor"), limit, request).await?;
    let mutes = mutes.into_iter().map(Mute::titled).collect();
    Ok(Response::json(200, &Listed { mutes, next_cursor }))
}

/// `POST /api/mutes`
pub async fn add(context: &Context<'_>) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        organization_id: Option<String>,
        check_id: String,
        integration_id: Option<String>,
        resource_id: Option<String>,
        item: Option<String>,
        reason: MuteReason,
        note: String,
        expires_at: String,
    }
    let user = context.signed_in().await?.user.id;
    let body: Body = context
        .json(
            r#"expected {"organization_id"?,"check_id","integration_id"?,"resource_id"?,"item"?,"reason","note","expires_at"}; reason is accepted_risk, false_positive, compensating_control or wont_fix"#,
        )
        .await?;
    let organization = match &body.organization_id {
        Some(id) => OrganizationId::parse(id)?,
        None => user.personal_organization(),
    };
    let integration = body
        .integration_id
        .as_deref()
        .map(IntegrationId::parse)
        .transpose()?;
    let end = moment::parse(&body.expires_at).ok_or(BAD_END)?;
    let mute = NewMute {
        check_id: &body.check_id,
        integration_id: integration,
        resource_id: body.resource_id.as_deref(),
        item: body.item.as_deref(),
        reason: body.reason,
        note: body.note.trim(),
        expires_at: &end.to_rfc3339_opts(SecondsFormat::Micros, true),
    };
    check(&mute)?;
    let call = MuteFindings {
        p_user_id: user,
        p_organization_id: organization,
        p_mute: &mute,
    };
    match context.call(&call).await? {
        Muted::Muted { mute } => Ok(Response::json(201, &mute.titled())),
        Muted::NotAMember => Err(ClientError::NotAMember.into()),
        Muted::Unknown => Err(ClientError::UnknownIntegration.into()),
        Muted::BadEnd => Err(BAD_END.into()),
        Muted::TooMany => Err(ClientError::TooManyMutes.into()),
    }
}

/// Checks the bounds of the table, and that the catalogue has the check.
fn check(mute: &NewMute) -> Result<()> {
    let wrong = |expected| Err(ClientError::Invalid(expected).into());
    let is_within = |text: &str, least, most| (least..=most).contains(&text.chars().count());
    let mut entries = checks::entries().iter();
    if !entries.any(|entry| entry.checks.iter().any(|check| check.id == mute.check_id)) {
        return wrong("check_id must be one of GET /api/checks");
    }
    if !is_within(mute.note, 3, 500) {
        return wrong("note must be 3 to 500 characters");
    }
    if mute.resource_id.is_some() && mute.integration_id.is_none() {
        return wrong("resource_id needs integration_id");
    }
    if mute.item.is_some() && mute.resource_id.is_none() {
        return wrong("item needs resource_id");
    }
    if mute.resource_id.is_some_and(|id| !is_within(id, 1, 1000)) {
        return wrong("resource_id must be 1 to 1,000 characters");
    }
    if mute.item.is_some_and(|item| !is_within(item, 1, 300)) {
        return wrong("item must be 1 to 300 characters");
    }
    Ok(())
}

/// `DELETE /api/mutes/:id`: ends it now; it stays in the list.
pub async fn end(context: &Context<'_>, id: &str) -> Result<Response> {
    let call = EndMute {
        p_id: MuteId::parse(id)?,
        p_user_id: context.signed_in().await?.user.id,
    };
    match context.call(&call).await? {
        MuteEnded::Ended => Ok(Response::json(200, &json!({"success": true}))),
        MuteEnded::Unknown => Err(ClientError::NoSuch("no such mute").into()),
    }
}
