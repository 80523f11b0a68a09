//! One integration: shown, renamed, rescheduled, tagged, and reconnected with its own account.

use crate::auth::service_key::Scope;
use crate::connect::start::{self, AppChoice, AuthorizationRequest};
use crate::context::Context;
use crate::db::integration::{self, Owner};
use crate::db::project::Reader;
use crate::db::{ChangeIntegration, Changed, Connector};
use crate::display_name::Name;
use crate::error::{ClientError, Error, Result};
use crate::health::cron::Cron;
use crate::host;
use crate::host::now;
use crate::http::Response;
use crate::http::url::return_path;
use crate::ids::IntegrationId;
use crate::json;
use crate::oauth::token;
use crate::tags;
use serde::Deserialize;
use serde_json::{Map, Value};

/// `GET /api/integrations/:id`
pub async fn details(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let reader = context.principal(Scope::ConnectionsRead).await?.reader;
    shown(context, &reader, id).await
}

/// `PATCH /api/integrations/:id`: changes the members that are given.
pub async fn change(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default, deserialize_with = "json::given")]
        name: Option<String>,
        #[serde(default, deserialize_with = "json::given")]
        scan_schedule: Option<Option<String>>,
        #[serde(default, deserialize_with = "json::given")]
        tags: Option<Vec<String>>,
    }
    const EXPECTED: &str = r#"expected {"name"?,"scan_schedule"?,"tags"?}, at least one of them; a scan_schedule of null ends the checks"#;
    let id = IntegrationId::parse(id)?;
    let principal = context.principal(Scope::ConnectionsWrite).await?;
    let body: Body = context.json(EXPECTED).await?;
    let mut changes = Map::new();
    let mut set = |column: &str, value: Value| changes.insert(column.to_owned(), value);
    if let Some(name) = &body.name {
        set("name", Value::from(Name::parse(name)?.as_str()));
    }
    if let Some(schedule) = &body.scan_schedule {
        let cron = schedule.as_deref().map(Cron::parse).transpose();
        let cron = cron.map_err(|wrong| ClientError::Schedule(wrong.message()))?;
        let next = cron.as_ref().and_then(|cron| cron.next(now()));
        set(
            "scan_schedule",
            Value::from(cron.as_ref().map(Cron::as_str)),
        );
        set("next_check_at", Value::from(next.map(token::timestamp)));
    }
    if let Some(tags) = &body.tags {
        tags::check(tags)?;
        set("tags", Value::from(tags.as_slice()));
    }
    if changes.is_empty() {
        return Err(ClientError::Body(EXPECTED).into());
    }
    let call = ChangeIntegration {
        p_id: id,
        caller: principal.caller,
        p_changes: &changes,
        p_request_id: &context.request_id,
    };
    match context.call(&call).await? {
        Changed::Changed => shown(context, &principal.reader, id).await,
        Changed::NameTaken => Err(ClientError::NameTaken.into()),
        Changed::Unknown => Err(ClientError::UnknownIntegration.into()),
    }
}

/// `POST /api/integrations/:id/reconnect`
pub async fn reconnect(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        return_to: Option<String>,
        #[serde(default, deserialize_with = "json::given")]
        oauth_app_id: Option<Option<String>>,
    }
    const EXPECTED: &str =
        r#"expected {"return_to"?,"oauth_app_id"?}; null is the deployment's app"#;
    let id = IntegrationId::parse(id)?;
    let signed_in = context.signed_in().await?;
    let body: Body = context.json(EXPECTED).await?;
    let return_to = return_path(body.return_to.as_deref())?;
    let owner = owner(context, &Reader::User(signed_in.token), id).await?;
    let oauth_type = context.settings.oauth_type(&owner.integration_type)?;
    let beginning = AuthorizationRequest {
        connector: Connector::User(signed_in.user.id),
        organization: owner.organization_id,
        oauth_type,
        app: match &body.oauth_app_id {
            Some(id) => AppChoice::of(id.as_deref())?,
            None => AppChoice::Kept,
        },
        scopes: None,
        return_to,
        integration: Some(id),
    };
    start::begin(context, &beginning).await
}

pub async fn owner(context: &Context<'_>, reader: &Reader, id: IntegrationId) -> Result<Owner> {
    let request = integration::owner_request(&context.settings.supabase, reader, id);
    let answer = host::fetch(&request)
        .await
        .map_err(|error| Error::no_answer("integration", error))?;
    let owner = integration::read_owner(&answer)?;
    owner.ok_or(Error::Client(ClientError::UnknownIntegration))
}

pub async fn shown(context: &Context<'_>, reader: &Reader, id: IntegrationId) -> Result<Response> {
    let request = integration::details_request(&context.settings.supabase, reader, id);
    let answer = host::fetch(&request)
        .await
        .map_err(|error| Error::no_answer("integration", error))?;
    let row = integration::read_details(&answer)?;
    Ok(Response::json(200, &row.compared(context.settings)))
}
