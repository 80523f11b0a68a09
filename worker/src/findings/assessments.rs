//! Runs of the scanner: `/api/assessments`, and requesting one.

use crate::auth::service_key;
use crate::context::Context;
use crate::db::assessments::{self as rows, Assessment, CheckRun, RequestScan, ScanRequested};
use crate::db::lists;
use crate::db::page::{page, rows_of};
use crate::db::pages::pages;
use crate::db::project::Reader;
use crate::error::{ClientError, Result};
use crate::findings::filter::Scope;
use crate::http::Response;
use crate::http::query::Query;
use crate::ids::{AssessmentId, IntegrationId};
use serde::{Deserialize, Serialize};
use serde_json::json;

const UNKNOWN: ClientError = ClientError::NoSuch("no such assessment");

/// `POST /api/integrations/:id/assessments`: queues a run, or names the one that has not ended.
pub async fn request(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {}
    let id = IntegrationId::parse(id)?;
    let user = context.signed_in().await?.user.id;
    let Body {} = context.json("expected {}").await?;
    let call = RequestScan {
        p_id: id,
        p_user_id: user,
        p_types: &checks::types(),
    };
    match context.call(&call).await? {
        ScanRequested::Queued { id, state } => {
            Ok(Response::json(202, &json!({"id": id, "state": state})))
        }
        ScanRequested::AlreadyOpen { id, state } => {
            Ok(Response::json(200, &json!({"id": id, "state": state})))
        }
        ScanRequested::NotAssessable => Err(ClientError::NotAssessable.into()),
        ScanRequested::ReconnectRequired => Err(ClientError::ReconnectRequired.into()),
        ScanRequested::TooMany { seconds } => Err(ClientError::TooManyScans { seconds }.into()),
        ScanRequested::Unknown => Err(ClientError::UnknownIntegration.into()),
    }
}

/// `GET /api/assessments`: a page, the newest first.
pub async fn list(context: &Context<'_>) -> Result<Response> {
    #[derive(Serialize)]
    struct Listed {
        assessments: Vec<Assessment>,
        next_cursor: Option<String>,
    }
    let query = Query::parse(
        &context.incoming.head.query,
        &["organization_id", "integration_id", "cursor", "limit"],
        "expected organization_id, integration_id, cursor or limit, each once",
    )?;
    let (scope, limit) = (Scope::parse(&query)?, query.limit()?);
    let principal = context.principal(service_key::Scope::FindingsRead).await?;
    let scope = scope.or(principal.organization);
    let project = &context.settings.supabase;
    let request =
        |after: &str, limit| rows::list_request(project, &principal.reader, scope, after, limit);
    let (assessments, next_cursor) =
        page("assessments", query.get("cursor"), limit, request).await?;
    let listed = Listed {
        assessments,
        next_cursor,
    };
    Ok(Response::json(200, &listed))
}

/// `GET /api/assessments/:id`: with what each check saw.
pub async fn one(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Serialize)]
    struct Shown {
        #[serde(flatten)]
        assessment: Assessment,
        checks: Vec<CheckRun>,
    }
    let id = AssessmentId::parse(id)?;
    let reader = context
        .principal(service_key::Scope::FindingsRead)
        .await?
        .reader;
    let shown = Shown {
        assessment: found(context, &reader, id).await?,
        checks: checks_of(context, &reader, id).await?,
    };
    Ok(Response::json(200, &shown))
}

pub async fn found(context: &Context<'_>, reader: &Reader, id: AssessmentId) -> Result<Assessment> {
    let request = rows::one_request(&context.settings.supabase, reader, id);
    let found = rows_of("assessment", &request).await?;
    found.into_iter().next().ok_or(UNKNOWN.into())
}

/// What each check saw in a run.
pub async fn checks_of(
    context: &Context<'_>,
    reader: &Reader,
    id: AssessmentId,
) -> Result<Vec<CheckRun>> {
    let project = &context.settings.supabase;
    let request = |offset| rows::checks_request(project, reader, id, offset);
    let (pages, _) = pages("checks of an assessment", request).await?;
    lists::rows(&pages, "checks of an assessment")
}

/// The last run of an integration that has judged something, with what each check saw.
pub async fn last_judged(
    context: &Context<'_>,
    reader: &Reader,
    id: IntegrationId,
) -> Result<Option<(Assessment, Vec<CheckRun>)>> {
    let request = rows::judged_request(&context.settings.supabase, reader, id);
    let found: Vec<Assessment> = rows_of("assessment", &request).await?;
    let Some(run) = found.into_iter().next() else {
        return Ok(None);
    };
    let checks = checks_of(context, reader, run.id).await?;
    Ok(Some((run, checks)))
}
