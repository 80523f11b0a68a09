//! `/api/findings`: lists, one finding, and its history.

use crate::auth::service_key;
use crate::context::Context;
use crate::db::findings::{self as rows, Change, Finding};
use crate::db::lists;
use crate::db::mutes::{self, Mute};
use crate::db::page::{page, rows_of};
use crate::db::pages::pages;
use crate::db::project::Reader;
use crate::error::{ClientError, Result};
use crate::findings::filter::Filter;
use crate::findings::shown_checks::{self, Remediation};
use crate::http::Response;
use crate::http::query::Query;
use crate::ids::FindingId;
use serde::Serialize;
use std::collections::BTreeMap;

const UNKNOWN: ClientError = ClientError::NoSuch("no such finding");

/// `GET /api/findings`: a page, the most severe first, of those the youngest.
pub async fn list(context: &Context<'_>) -> Result<Response> {
    #[derive(Serialize)]
    struct Listed {
        findings: Vec<Finding>,
        next_cursor: Option<String>,
    }
    let query = Query::parse(
        &context.incoming.head.query,
        &Filter::NAMES,
        "expected organization_id, integration_id, integration_type, severity, state, check_id, muted, cursor or limit, each once",
    )?;
    let (mut filter, limit) = (Filter::parse(&query)?, query.limit()?);
    let principal = context.principal(service_key::Scope::FindingsRead).await?;
    filter.scope = filter.scope.or(principal.organization);
    let project = &context.settings.supabase;
    let request =
        |after: &str, limit| rows::list_request(project, &principal.reader, &filter, after, limit);
    let (findings, next_cursor) = page("findings", query.get("cursor"), limit, request).await?;
    let listed = Listed {
        findings,
        next_cursor,
    };
    Ok(Response::json(200, &listed))
}

/// `GET /api/findings/:id`: with its evidence, how it is put right, and the mutes that cover it.
pub async fn one(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        finding: Finding,
        why: Option<&'a str>,
        remediation: Option<Remediation<'a>>,
        maps: Option<&'a BTreeMap<String, Vec<String>>>,
        mutes: Vec<Mute>,
    }
    let id = FindingId::parse(id)?;
    let reader = context
        .principal(service_key::Scope::FindingsRead)
        .await?
        .reader;
    let finding = found(context, &reader, id).await?;
    let entry = checks::entry(&finding.integration_type);
    let check = entry.and_then(|entry| Some((entry, entry.check(&finding.check_id)?)));
    let check = check.map(|(entry, check)| shown_checks::shown(entry, check));
    let mutes = active_mutes(context, &reader, &finding).await?;
    let (why, maps) = check.as_ref().map(|check| (check.why, check.maps)).unzip();
    let shown = Shown {
        finding,
        why,
        maps,
        remediation: check.map(|check| check.remediation),
        mutes,
    };
    Ok(Response::json(200, &shown))
}

/// `GET /api/findings/:id/events`: its history, the newest first.
pub async fn history(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Serialize)]
    struct Listed {
        events: Vec<Change>,
        next_cursor: Option<String>,
    }
    let id = FindingId::parse(id)?;
    let query = Query::parse(
        &context.incoming.head.query,
        &["cursor", "limit"],
        "expected cursor or limit, each once",
    )?;
    let limit = query.limit()?;
    let reader = context
        .principal(service_key::Scope::FindingsRead)
        .await?
        .reader;
    let project = &context.settings.supabase;
    let request = |after: &str, limit| rows::history_request(project, &reader, id, after, limit);
    let (events, next_cursor) = page("history", query.get("cursor"), limit, request).await?;
    if events.is_empty() {
        found(context, &reader, id).await?;
    }
    let listed = Listed {
        events,
        next_cursor,
    };
    Ok(Response::json(200, &listed))
}

async fn found(context: &Context<'_>, reader: &Reader, id: FindingId) -> Result<Finding> {
    let request = rows::one_request(&context.settings.supabase, reader, id);
    let found = rows_of("finding", &request).await?;
    found.into_iter().next().ok_or(UNKNOWN.into())
}

async fn active_mutes(
    context: &Context<'_>,
    reader: &Reader,
    finding: &Finding,
) -> Result<Vec<Mute>> {
    if finding.muted_until.is_none() {
        return Ok(Vec::new());
    }
    let (project, check) = (&context.settings.supabase, finding.check_id.as_str());
    let request = |offset| {
        mutes::active_request(
            project,
            reader,
            finding.organization_id,
            Some(check),
            offset,
        )
    };
    let (pages, _) = pages("mutes", request).await?;
    let mut mutes: Vec<Mute> = lists::rows(&pages, "mutes")?;
    mutes.retain(|mute| {
        mute.check_id == check
            && mute.covers(finding.integration_id, &finding.resource.id, &finding.item)
    });
    Ok(mutes.into_iter().map(Mute::titled).collect())
}
