//! `/api/webhooks`: the endpoints that receive an organization's events.

use crate::auth::service_key::Scope;
use crate::context::Context;
use crate::credentials::{Row, Unopened};
use crate::db::events::Page;
use crate::db::pages::pages;
use crate::db::{
    ChangeEndpoint, ChangeSecret, CreateEndpoint, Created, DeleteEndpoint, Endpoint,
    EndpointChanged, EndpointDeleted, EndpointFound, EventType, FindEndpoint, Replay, Replayed,
    SecretChanged, webhook_lists as rows,
};
use crate::error::{ClientError, Error, Result};
use crate::host::random_bytes;
use crate::host::random_uuid;
use crate::host::{self, log};
use crate::http::query::organization;
use crate::http::{HttpRequest, HttpResponse, Response};
use crate::ids::{EndpointId, EventId, OrganizationId};
use crate::json;
use crate::webhooks::organization::organization_of_new;
use crate::webhooks::secret::{self, SigningSecret};
use crate::webhooks::url_policy;
use checks::Severity;
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A new endpoint. This is the only response that contains its secret.
#[derive(Serialize)]
struct WithSecret<'a> {
    #[serde(flatten)]
    endpoint: Endpoint,
    secret: &'a str,
}

#[derive(Serialize)]
struct Listed {
    webhooks: Vec<Endpoint>,
    has_more: bool,
}

/// `GET /api/webhooks[?organization_id=]`
pub async fn list(context: &Context<'_>) -> Result<Response> {
    let organization = organization(&context.incoming.head.query)?;
    let principal = context.principal(Scope::WebhooksManage).await?;
    let organization = organization.or(principal.organization);
    let project = &context.settings.supabase;
    let request = |offset| rows::list_request(project, &principal.reader, organization, offset);
    let (pages, has_more) = pages("webhooks", request).await?;
    let webhooks = rows::read_list(&pages)?;
    Ok(Response::json(200, &Listed { webhooks, has_more }))
}

/// `POST /api/webhooks`
pub async fn add(context: &Context<'_>) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default, deserialize_with = "json::given")]
        organization_id: Option<Option<String>>,
        url: String,
        events: Option<Vec<EventType>>,
        min_severity: Option<Severity>,
    }
    let principal = context.principal(Scope::WebhooksManage).await?;
    let body: Body = context
        .json(
            r#"expected {"organization_id"?,"url","events"?,"min_severity"?}; events must be documented types, min_severity critical, high, medium, low or info"#,
        )
        .await?;
    let given = body.organization_id.as_ref().map(Option::as_deref);
    let organization = organization_of_new(given, principal.organization, principal.caller)?;
    let url = url_policy::check(&body.url, context.settings.webhook_loopback)?;
    let events = body.events.as_deref();
    check_events(events)?;
    let id = EndpointId(random_uuid()?);
    let secret = SigningSecret::from_bytes(random_bytes()?);
    let bound_to = organization.unwrap_or(OrganizationId::NIL);
    let plain = secret::config(&secret, None);
    let config = context.seal(bound_to, Row::Endpoint(id), &plain).await?;
    let call = CreateEndpoint {
        p_id: id,
        caller: principal.caller,
        p_organization_id: organization,
        p_url: &url,
        p_events: events,
        p_config: &config,
        p_min_severity: body.min_severity,
    };
    match context.call(&call).await? {
        Created::Created { endpoint } => Ok(Response::json(
            201,
            &WithSecret {
                endpoint,
                secret: secret.expose(),
            },
        )),
        Created::NotAMember => Err(principal.not_a_member()),
        Created::TooMany => Err(ClientError::TooManyWebhooks.into()),
    }
}

/// At least one event, each once. Null means every event.
fn check_events(events: Option<&[EventType]>) -> Result<()> {
    let repeats =
        |(i, event): (usize, &EventType)| events.is_some_and(|all| all[..i].contains(event));
    let fine = events.is_none_or(|all| !all.is_empty() && !all.iter().enumerate().any(repeats));
    fine.then_some(()).ok_or(
        ClientError::Invalid("events must be at least one of the documented types, each once")
            .into(),
    )
}

/// `PATCH /api/webhooks/:id`: changes the members that are given.
pub async fn change(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default, deserialize_with = "json::given")]
        url: Option<String>,
        #[serde(default, deserialize_with = "json::given")]
        events: Option<Option<Vec<EventType>>>,
        #[serde(default, deserialize_with = "json::given")]
        min_severity: Option<Option<Severity>>,
        #[serde(default, deserialize_with = "json::given")]
        enabled: Option<bool>,
    }
    const EXPECTED: &str = r#"expected {"url"?,"events"?,"min_severity"?,"enabled"?}, at least one of them; events must be documented types, min_severity critical, high, medium, low, info or null"#;
    let id = EndpointId::parse(id)?;
    let caller = context.principal(Scope::WebhooksManage).await?.caller;
    let body: Body = context.json(EXPECTED).await?;
    let mut changes = Map::new();
    if let Some(url) = &body.url {
        let url = url_policy::check(url, context.settings.webhook_loopback)?;
        changes.insert("url".to_owned(), Value::from(url));
    }
    if let Some(events) = &body.events {
        check_events(events.as_deref())?;
        changes.insert("events".to_owned(), json!(events));
    }
    if let Some(severity) = &body.min_severity {
        changes.insert("min_severity".to_owned(), json!(severity));
    }
    if let Some(enabled) = body.enabled {
        changes.insert("enabled".to_owned(), Value::from(enabled));
    }
    if changes.is_empty() {
        return Err(ClientError::Body(EXPECTED).into());
    }
    let call = ChangeEndpoint {
        p_id: id,
        caller,
        p_changes: &changes,
    };
    match context.call(&call).await? {
        EndpointChanged::Changed { endpoint } => Ok(Response::json(200, &endpoint)),
        EndpointChanged::Unknown => Err(ClientError::UnknownWebhook.into()),
    }
}

/// `DELETE /api/webhooks/:id`
pub async fn remove(context: &Context<'_>, id: &str) -> Result<Response> {
    let call = DeleteEndpoint {
        p_id: EndpointId::parse(id)?,
        caller: context.principal(Scope::WebhooksManage).await?.caller,
    };
    match context.call(&call).await? {
        EndpointDeleted::Deleted => Ok(Response::json(200, &json!({"success": true}))),
        EndpointDeleted::Unknown => Err(ClientError::UnknownWebhook.into()),
    }
}

/// How often the secrets may change between the read and the write.
const ATTEMPTS: usize = 3;

/// `POST /api/webhooks/:id/secret`: creates a secret. The previous one signs for another day.
pub async fn rotate(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = EndpointId::parse(id)?;
    let caller = context.principal(Scope::WebhooksManage).await?.caller;
    context.no_body().await?;
    let secret = SigningSecret::from_bytes(random_bytes()?);
    for _ in 0..ATTEMPTS {
        let find = FindEndpoint { p_id: id, caller };
        let EndpointFound::Found {
            organization_id,
            config: read,
        } = context.call(&find).await?
        else {
            return Err(ClientError::UnknownWebhook.into());
        };
        let previous = previous(context, organization_id, id, &read).await?;
        let plain = secret::config(&secret, previous.as_ref());
        let call = ChangeSecret {
            p_id: id,
            caller,
            p_read: &read,
            p_config: &context
                .seal(organization_id, Row::Endpoint(id), &plain)
                .await?,
        };
        match context.call(&call).await? {
            SecretChanged::Rotated { endpoint } => {
                return Ok(Response::json(
                    200,
                    &WithSecret {
                        endpoint,
                        secret: secret.expose(),
                    },
                ));
            }
            SecretChanged::Changed => {}
            SecretChanged::Unknown => return Err(ClientError::UnknownWebhook.into()),
        }
    }
    Err(Error::database_answer(
        "change_webhook_secret: the secrets changed each time they were read",
    ))
}

/// The current secret. One that does not open has signed nothing, so the new one signs alone: this repairs an endpoint whose key is
/// lost.
async fn previous(
    context: &Context<'_>,
    organization: OrganizationId,
    id: EndpointId,
    config: &StoredConfig,
) -> Result<Option<SigningSecret>> {
    let opened = context
        .open(organization, Row::Endpoint(id), config)
        .await?;
    let opened = opened.inspect_err(|Unopened { detail, .. }| {
        log::warning(&context.request_id, &format!("not signed with: {detail}"));
    });
    Ok(opened.ok().as_ref().and_then(secret::current))
}

/// `GET /api/webhooks/:id/deliveries`: a page, newest first.
pub async fn deliveries(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = EndpointId::parse(id)?;
    let page = Page::parse(&context.incoming.head.query)?;
    let reader = context.principal(Scope::WebhooksManage).await?.reader;
    let project = &context.settings.supabase;
    let fetched = async |page| {
        let answer = ask(&rows::deliveries_request(project, &reader, id, page)).await?;
        rows::read_deliveries(&answer, page)
    };
    let mut read = fetched(page).await?;
    match read.last {
        Some(last) if read.next_cursor.is_none() => {
            let has_more = fetched(Page::after(last)).await?.has_more;
            read.next_cursor = has_more.then(|| last.to_string());
        }
        Some(_) => {}
        None => {
            let answer = ask(&rows::exists_request(project, &reader, id)).await?;
            if !rows::read_exists(&answer)? {
                return Err(ClientError::UnknownWebhook.into());
            }
        }
    }
    Ok(Response::json(200, &read))
}

/// `POST /api/webhooks/:id/deliveries/:event_id/replay`
pub async fn replay(context: &Context<'_>, id: &str, event: &str) -> Result<Response> {
    let call = Replay {
        p_endpoint_id: EndpointId::parse(id)?,
        p_event_id: EventId::parse(event)?,
        caller: context.principal(Scope::WebhooksManage).await?.caller,
    };
    context.no_body().await?;
    match context.call(&call).await? {
        Replayed::Replayed => Ok(Response::json(
            202,
            &json!({"event_id": call.p_event_id, "state": "pending"}),
        )),
        Replayed::Disabled => Err(ClientError::WebhookDisabled.into()),
        Replayed::Unknown => Err(ClientError::UnknownWebhook.into()),
    }
}

async fn ask(request: &HttpRequest) -> Result<HttpResponse> {
    host::fetch(request)
        .await
        .map_err(|error| Error::no_answer("webhooks", error))
}
