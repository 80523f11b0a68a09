//! Starting a connection: `POST /api/auth/authorize`, and for an existing one `POST /api/integrations/:id/reconnect`.

use crate::auth::cookies;
use crate::context::Context;
use crate::credentials::{self, Row};
use crate::db::{BeginConnection, Begun, Connector};
use crate::error::{ClientError, Result};
use crate::host::random_bytes;
use crate::host::random_uuid;
use crate::http::Response;
use crate::http::url::return_path;
use crate::ids::{IntegrationId, OauthAppId, OrganizationId, TransactionId};
use crate::oauth::authorize::{Flow, authorization_url};
use crate::oauth_apps::client;
use crate::offer::{OauthType, Offer};
use crate::random::RandomToken;
use serde::Deserialize;
use serde_json::json;

/// How long a flow may take, in seconds. The database's transactions live as long.
const FLOW_SECONDS: i64 = 600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    integration_type: String,
    organization_id: Option<String>,
    return_to: Option<String>,
    oauth_app_id: Option<String>,
}

/// `POST /api/auth/authorize`
pub async fn authorize(context: &Context<'_>) -> Result<Response> {
    let signed_in = context.signed_in().await?;
    let body: Body = context
        .json(r#"expected {"integration_type", "organization_id"?, "return_to"?, "oauth_app_id"?}"#)
        .await?;
    let oauth_type = context.settings.oauth_type(&body.integration_type)?;
    let organization = match &body.organization_id {
        Some(id) => OrganizationId::parse(id)?,
        None => signed_in.user.id.personal_organization(),
    };
    let beginning = AuthorizationRequest {
        connector: Connector::User(signed_in.user.id),
        organization,
        oauth_type,
        app: AppChoice::of(body.oauth_app_id.as_deref())?,
        scopes: None,
        return_to: return_path(body.return_to.as_deref())?,
        integration: None,
    };
    begin(context, &beginning).await
}

pub struct AuthorizationRequest<'a> {
    pub connector: Connector,
    pub organization: OrganizationId,
    pub oauth_type: &'a OauthType,
    pub app: AppChoice,
    /// Which of the operator's scopes to request. None: all.
    pub scopes: Option<&'a [String]>,
    /// The path that the browser is redirected to in the end.
    pub return_to: &'a str,
    pub integration: Option<IntegrationId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AppChoice {
    Deployment,
    /// An app of the organization's own.
    Own(OauthAppId),
    /// The app of the integration that is reconnected.
    Kept,
}

impl AppChoice {
    pub fn of(id: Option<&str>) -> Result<Self> {
        Ok(match id {
            Some(id) => Self::Own(OauthAppId::parse(id)?),
            None => Self::Deployment,
        })
    }
}

/// Stores the transaction. Returns the authorization URL and the cookie that binds the flow to the browser.
pub async fn begin(
    context: &Context<'_>,
    beginning: &AuthorizationRequest<'_>,
) -> Result<Response> {
    let oauth_type = beginning.oauth_type;
    let kind = &oauth_type.provider.kind;
    if beginning.app == AppChoice::Deployment {
        context.settings.client(kind)?;
    }
    let flow = Flow {
        state: RandomToken::from_bytes(random_bytes()?),
        binding: RandomToken::from_bytes(random_bytes()?),
        verifier: RandomToken::from_bytes(random_bytes()?),
    };
    let id = TransactionId(random_uuid()?);
    let scope = oauth_type.scope(beginning.scopes);
    let verifier = credentials::of_verifier(&flow.verifier, &scope);
    let row = Row::Transaction(id);
    let verifier = context.seal(beginning.organization, row, &verifier).await?;
    let state_hash = flow.state.hash();
    let begun = context
        .call(&BeginConnection {
            p_id: id,
            p_state_hash: &state_hash,
            p_binding_hash: &flow.binding.hash(),
            connector: beginning.connector.into(),
            p_organization_id: beginning.organization,
            p_integration_type: kind,
            p_issuer: oauth_type.issuer.as_deref(),
            p_redirect_uri: &oauth_type.redirect_uri,
            p_verifier: &verifier,
            p_return_to: beginning.return_to,
            p_integration_id: beginning.integration,
            p_oauth_app_id: match beginning.app {
                AppChoice::Own(id) => Some(id),
                AppChoice::Deployment | AppChoice::Kept => None,
            },
            p_keeps_app: beginning.app == AppChoice::Kept,
        })
        .await?;
    match begun {
        Begun::Begun { oauth_app } => {
            let app = oauth_app.as_ref();
            let offer = client::offer(context, kind, beginning.organization, app).await?;
            let Offer::OAuth(client) = &*offer else {
                return Err(ClientError::ConnectsByCredentials.into());
            };
            let name = match beginning.connector {
                Connector::User(_) => cookies::flow_name(&state_hash),
                Connector::Session(_) => cookies::session_flow_name(&state_hash),
            };
            let cookie = cookies::set(&name, flow.binding.expose(), FLOW_SECONDS)?;
            let answer = json!({"authorization_url": authorization_url(client, &flow, &scope)});
            Ok(Response::json(200, &answer).with_header("set-cookie", cookie))
        }
        Begun::NotAMember => Err(ClientError::NotAMember.into()),
        Begun::TooMany => Err(ClientError::TooMany.into()),
        Begun::Unknown => Err(ClientError::UnknownIntegration.into()),
        Begun::NoAccount => Err(ClientError::AccountUnknown.into()),
        Begun::Over => Err(ClientError::ConnectSessionOver.into()),
        Begun::UnknownApp => Err(ClientError::UnknownApp.into()),
    }
}
