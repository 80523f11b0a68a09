//! The catalogue of checks, and which of them a grant allows.

use crate::auth::service_key;
use crate::context::Context;
use crate::error::{ClientError, Result};
use crate::findings::assessments::last_judged;
use crate::findings::shown_checks::{self, Coverage, ShownCheck};
use crate::http::Response;
use crate::http::query::Query;
use crate::ids::{AssessmentId, IntegrationId};
use crate::integrations::detail;
use catalogue::Auth;
use serde::Serialize;

/// `GET /api/checks[?integration_type=]`
pub async fn catalogue(context: &Context<'_>) -> Result<Response> {
    #[derive(Serialize)]
    struct Listed<'a> {
        catalogue: &'a str,
        checks: Vec<ShownCheck<'a>>,
    }
    let query = Query::parse(
        &context.incoming.head.query,
        &["integration_type"],
        "expected integration_type, once",
    )?;
    let kind = query.name("integration_type", "integration_type must be a type's name")?;
    let entries = checks::entries().iter();
    let entries = entries.filter(|entry| kind.is_none_or(|kind| kind == entry.kind));
    let listed = Listed {
        catalogue: checks::catalogue_hash(),
        checks: entries.flat_map(shown_checks::of_entry).collect(),
    };
    Ok(Response::json(200, &listed))
}

/// `GET /api/integrations/:id/coverage`
pub async fn coverage(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Serialize)]
    struct Shown<'a> {
        integration_type: &'a str,
        requested_scopes: Option<&'a [String]>,
        granted_scopes: Option<&'a [String]>,
        assessment_id: Option<AssessmentId>,
        #[serde(flatten)]
        coverage: Coverage<'a>,
        remedy: Option<Remedy>,
    }
    #[derive(Serialize)]
    struct Remedy {
        action: &'static str,
        method: &'static str,
        path: String,
        add_scopes_first: bool,
    }
    let id = IntegrationId::parse(id)?;
    let reader = context
        .principal(service_key::Scope::FindingsRead)
        .await?
        .reader;
    let owner = detail::owner(context, &reader, id).await?;
    let entry = checks::entry(&owner.integration_type).ok_or(ClientError::NotAssessable)?;
    let provider = context
        .settings
        .offer(&entry.kind)
        .map(|offer| offer.provider());
    let requested = provider
        .filter(|provider| provider.auth == Auth::Oauth && !provider.scopes.is_empty())
        .map(|provider| provider.scopes.as_slice());
    let last = last_judged(context, &reader, id).await?;
    let runs = last.as_ref().map_or(&[][..], |(_, checks)| checks);
    // A grant may have scopes that are no longer requested. One that it lacks may be in another, under whose name only the provider knows it:
    // the last run says.
    let granted = owner.granted_scopes.iter().flatten();
    let available: Option<Vec<String>> =
        requested.map(|requested| requested.iter().chain(granted).cloned().collect());
    let coverage = shown_checks::coverage(entry, available.as_deref(), runs);
    let is_requested = |scope: &&str| {
        requested.is_some_and(|requested| requested.iter().any(|other| other == scope))
    };
    let remedy = (coverage.missing > 0).then(|| {
        let by_oauth = provider.is_none_or(|provider| provider.auth == Auth::Oauth);
        let (action, method, last) = match by_oauth {
            true => ("reconnect", "POST", "reconnect"),
            false => ("replace_credentials", "PUT", "credentials"),
        };
        Remedy {
            action,
            method,
            path: format!("/api/integrations/{id}/{last}"),
            add_scopes_first: by_oauth && !coverage.missing_scopes.iter().all(is_requested),
        }
    });
    let shown = Shown {
        integration_type: &entry.kind,
        requested_scopes: requested,
        granted_scopes: owner.granted_scopes.as_deref(),
        assessment_id: last.as_ref().map(|(run, _)| run.id),
        coverage,
        remedy,
    };
    Ok(Response::json(200, &shown))
}
