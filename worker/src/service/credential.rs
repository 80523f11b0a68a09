//! A live credential for a program: refreshed if it ends soon, and sealed unless the operator allows plain tokens.

use crate::auth::caller::Caller;
use crate::auth::service_key::Scope;
use crate::context::Context;
use crate::credentials;
use crate::db::{Current, FindIntegrationOfType, IntegrationOfType};
use crate::error::{ClientError, Error, Result};
use crate::host::now;
use crate::http::Response;
use crate::ids::{IntegrationId, OrganizationId, ServiceKeyId};
use crate::refresh::live_credential::SOON_SECONDS;
use crate::refresh::on_demand::{Actor, RefreshPolicy, renew};
use crate::refresh::refresh_grant::open;
use catalogue::Provider;
use chrono::DateTime;
use sealed::PlainConfig;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What the credential is opened for, as the event says it.
const REASON: &str = "credential";
/// How far ahead a caller may ask for a refresh, in seconds.
const LONGEST: u32 = 3_600;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    valid_for: Option<u32>,
    #[serde(default)]
    form: Form,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    #[default]
    Sealed,
    Plain,
}

/// `POST /api/integrations/:id/credential`
pub async fn of_integration(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let key = context.service_key(Scope::ConnectionsCredentials).await?;
    read(context, key, id).await
}

/// `POST /api/organizations/:id/integrations/:type/credential`
pub async fn of_type(context: &Context<'_>, organization: &str, kind: &str) -> Result<Response> {
    let organization = OrganizationId::parse(organization)?;
    let key = context.service_key(Scope::ConnectionsCredentials).await?;
    let call = FindIntegrationOfType {
        p_service_key: key,
        p_organization_id: organization,
        p_integration_type: kind,
    };
    match context.call(&call).await? {
        IntegrationOfType::Found { id } => read(context, key, id).await,
        IntegrationOfType::Several => Err(ClientError::SeveralIntegrations.into()),
        IntegrationOfType::Unknown => Err(ClientError::UnknownIntegration.into()),
    }
}

async fn read(context: &Context<'_>, key: ServiceKeyId, id: IntegrationId) -> Result<Response> {
    const EXPECTED: &str =
        r#"expected {"valid_for"?,"form"?}: seconds up to 3600, and "sealed" or "plain""#;
    let body: Body = context.json(EXPECTED).await?;
    let valid_for = body.valid_for.unwrap_or(SOON_SECONDS);
    if valid_for > LONGEST {
        return Err(ClientError::Body(EXPECTED).into());
    }
    if body.form == Form::Plain && !context.settings.plaintext_credentials {
        return Err(ClientError::PlaintextDisabled.into());
    }
    let actor = Actor {
        caller: Caller::ServiceKey(key),
        reason: REASON,
    };
    let current = renew(context, id, RefreshPolicy::Within(valid_for), &actor).await?;
    usable(&current)?;
    let text = current
        .config
        .as_deref()
        .ok_or_else(|| Error::database_answer("claim_refresh: no config was handed out"))?;
    let mut answer = json!({
        "id": id,
        "organization_id": current.organization_id,
        "integration_type": current.integration_type,
        "expires_at": current.expires_at,
        "granted_scopes": credentials::parse_to_read(text).as_ref().and_then(credentials::granted_scopes),
    });
    match body.form {
        Form::Sealed => {
            let config = credentials::parse(text).ok_or_else(|| unreadable(id))?;
            answer["config"] = Value::Object(config);
            answer["data_keys"] = json!(current.data_keys);
        }
        Form::Plain => {
            let config = open(context, id, current.organization_id, text).await??;
            let provider = context.settings.provider(&current.integration_type);
            answer["credential"] = Value::Object(plain(&config, provider));
        }
    }
    Ok(Response::json(200, &answer))
}

fn usable(current: &Current) -> Result<()> {
    if matches!(current.status.as_str(), "reconnect_required" | "revoked") {
        return Err(ClientError::NeedsReauthorization.into());
    }
    let expires_at = current
        .expires_at
        .as_deref()
        .map(DateTime::parse_from_rfc3339);
    let has_ended = matches!(expires_at, Some(Ok(moment)) if moment <= now());
    match current.paused_seconds {
        _ if !has_ended => Ok(()),
        _ if current.status_reason.as_deref() == Some("app_unreadable") => {
            Err(ClientError::AppUnreadable.into())
        }
        Some(seconds) => Err(ClientError::ProviderPaused { seconds }.into()),
        None => Err(Error::provider(
            "the access token has expired, and its refresh fails",
        )),
    }
}

/// Returns what a request to the provider needs: the access token, or the fields of an account that has none. Never the refresh token.
fn plain(config: &PlainConfig, provider: Option<&Provider>) -> Map<String, Value> {
    let fields: Vec<&str> = match (config.get_str("access_token"), provider) {
        (None, Some(provider)) => provider
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .collect(),
        _ => vec!["access_token"],
    };
    let map = config.as_map();
    let present = fields
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), map.get(name)?.clone())));
    present.collect()
}

fn unreadable(id: IntegrationId) -> Error {
    Error::Internal {
        detail: format!(
            "integrations {id}: config is not JSON that can be read and written unchanged"
        ),
    }
}
