//! A connect session in the browser that opened its link: `/api/connect`. The page is `worker/public/connect.html`.
//!
//! A cookie binds the session to that browser, and requests must come from our own page.

use crate::auth::{cookies, origin};
use crate::connect::methods::ShownProvider;
use crate::connect::start::{self, AppChoice, AuthorizationRequest};
use crate::connect::store_connection::persistently;
use crate::connect::{credential_connect, credential_fields, session_return};
use crate::context::Context;
use crate::credentials::Row;
use crate::db::{
    AddPendingConnection, ConnectSessionOpened, ConnectSessionState, Connector,
    FindOpenedConnectSession, OpenConnectSession, OpenedConnectSession,
};
use crate::error::{ClientError, Result};
use crate::host::{random_bytes, random_uuid};
use crate::http::Response;
use crate::ids::{ConnectSessionId, PendingId};
use crate::oauth::Account;
use crate::offer::Offer;
use crate::random::RandomToken;
use sealed::PlainConfig;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

/// How long a session may take, in seconds. The database's sessions live at most as long.
const SESSION_SECONDS: i64 = 3_600;

/// `POST /api/connect`: opens a link, once. The token comes in the body: the link has it in its fragment, which no server and no log sees.
pub async fn open(context: &Context<'_>) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        token: String,
    }
    origin::check_from_cookie(&context.incoming.head, &context.settings.app_url, true)?;
    let body: Body = context.json(r#"expected {"token"}"#).await?;
    let unknown = ClientError::NoSuch(UNKNOWN_LINK);
    let token = RandomToken::parse(&body.token).ok_or(unknown.clone())?;
    let binding = RandomToken::from_bytes(random_bytes()?);
    let call = OpenConnectSession {
        p_token_hash: &token.hash(),
        p_binding_hash: &binding.hash(),
    };
    let session = match context.call(&call).await? {
        ConnectSessionOpened::Opened { connect_session } => connect_session,
        ConnectSessionOpened::Used => return Err(ClientError::LinkUsed.into()),
        ConnectSessionOpened::Expired => return Err(ClientError::LinkExpired.into()),
        ConnectSessionOpened::Unknown => return Err(unknown.into()),
    };
    let name = cookies::connect_session_name(session.id);
    let cookie = cookies::set(&name, binding.expose(), SESSION_SECONDS)?;
    Ok(shown(context, &session).with_header("set-cookie", cookie))
}

/// `GET /api/connect/:id`
pub async fn show(context: &Context<'_>, id: &str) -> Result<Response> {
    Ok(shown(context, &bound(context, id).await?))
}

/// `POST /api/connect/:id/authorize`
pub async fn authorize(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        integration_type: String,
    }
    let session = connectable(context, id).await?;
    let body: Body = context.json(r#"expected {"integration_type"}"#).await?;
    let kind = &body.integration_type;
    allowed(&session, kind)?;
    let oauth_type = context.settings.oauth_type(kind)?;
    let app = match (session.oauth_apps.get(kind), session.reconnects) {
        (Some(Some(id)), _) => AppChoice::Own(*id),
        (None, Some(_)) => AppChoice::Kept,
        (Some(None), _) | (None, None) => AppChoice::Deployment,
    };
    let beginning = AuthorizationRequest {
        connector: Connector::Session(session.id),
        organization: session.organization_id,
        oauth_type,
        app,
        scopes: session.scopes.get(kind).map(Vec::as_slice),
        return_to: "/",
        integration: session.reconnects,
    };
    start::begin(context, &beginning).await
}

/// `POST /api/connect/:id/credentials`
pub async fn enter_credentials(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        integration_type: String,
        fields: Map<String, Value>,
    }
    let session = connectable(context, id).await?;
    let body: Body = context
        .json(r#"expected {"integration_type", "fields"}"#)
        .await?;
    allowed(&session, &body.integration_type)?;
    let offer = context.settings.direct(&body.integration_type)?;
    let given = credential_fields::read(offer.provider(), body.fields)?;
    let connector = Connector::Session(session.id);
    credential_connect::admit(context, connector, session.organization_id).await?;
    let (account, config) = credential_connect::checked(context, offer, given).await?;
    let pending = match write_down(context, &session, offer, &account, &config).await {
        Ok(pending) => pending,
        Err(error) => {
            // If the write arrives late after all, the schedule gives it up.
            credential_connect::revoke(context, offer, &config).await;
            return Err(error);
        }
    };
    // If this fails, the credentials expire with the pending connection.
    let return_to = session_return::park(context, &session.returns, pending, &account).await?;
    Ok(returning(&return_to))
}

/// Stores the entered credentials as pending, if they are those of the account to reconnect.
async fn write_down(
    context: &Context<'_>,
    session: &OpenedConnectSession,
    offer: &Offer,
    account: &Account,
    config: &PlainConfig,
) -> Result<PendingId> {
    if session.reconnects.is_some() && session.account_id.as_ref() != Some(&account.id) {
        return Err(ClientError::AccountMismatch.into());
    }
    let pending = PendingId(random_uuid()?);
    let organization = session.organization_id;
    let write = async || {
        let row = Row::Pending(pending);
        let call = AddPendingConnection {
            p_id: pending,
            connector: Connector::Session(session.id).into(),
            p_organization_id: organization,
            p_integration_type: &offer.provider().kind,
            p_config: &context.seal(organization, row, config).await?,
            p_return_to: "/",
            p_oauth_app_id: None,
        };
        persistently(context, &call).await
    };
    context.write_sealed(organization, write).await?;
    Ok(pending)
}

/// `POST /api/connect/:id/account`
pub async fn select_account(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        account_id: String,
    }
    let session = from_page(context, id).await?;
    let body: Body = context.json(r#"expected {"account_id"}"#).await?;
    let choice = session
        .pending
        .as_ref()
        .ok_or(ClientError::ConnectSessionOver)?;
    let mut accounts = choice.accounts.iter();
    let account = accounts.find(|account| account.id == body.account_id);
    let account = account.ok_or(ClientError::Invalid(
        "account_id must be one of the connection's accounts",
    ))?;
    let return_to = session_return::park(context, &session.returns, choice.id, account).await?;
    Ok(returning(&return_to))
}

/// `POST /api/connect/:id/cancel`
pub async fn cancel(context: &Context<'_>, id: &str) -> Result<Response> {
    let session = from_page(context, id).await?;
    context.no_body().await?;
    if session.state != ConnectSessionState::Opened {
        return Err(ClientError::ConnectSessionOver.into());
    }
    let return_to = session_return::cancel(context, &session.returns).await?;
    Ok(returning(&return_to))
}

/// Finds the session whose link this browser opened.
async fn bound(context: &Context<'_>, id: &str) -> Result<OpenedConnectSession> {
    let id = ConnectSessionId::parse(id)?;
    let cookies = context.cookies()?;
    let binding = cookies.get(&cookies::connect_session_name(id))?;
    let binding = binding.and_then(RandomToken::parse);
    let call = FindOpenedConnectSession {
        p_id: id,
        p_binding_hash: &binding.ok_or(ClientError::ForeignFlow)?.hash(),
    };
    match context.call(&call).await? {
        ConnectSessionOpened::Opened { connect_session } => Ok(*connect_session),
        _ => Err(ClientError::ForeignFlow.into()),
    }
}

/// The same, for a request that changes something: it must come from our page.
async fn from_page(context: &Context<'_>, id: &str) -> Result<OpenedConnectSession> {
    let head = &context.incoming.head;
    origin::check_from_cookie(head, &context.settings.app_url, true)?;
    bound(context, id).await
}

/// The same, if an account may still be connected.
async fn connectable(context: &Context<'_>, id: &str) -> Result<OpenedConnectSession> {
    let session = from_page(context, id).await?;
    if !session.is_open() {
        return Err(ClientError::ConnectSessionOver.into());
    }
    Ok(session)
}

fn allowed(session: &OpenedConnectSession, kind: &str) -> Result<()> {
    match session
        .integration_types
        .iter()
        .any(|allowed| allowed == kind)
    {
        true => Ok(()),
        false => Err(ClientError::TypeNotAllowed.into()),
    }
}

/// Names the backend by the origin of the return URL, which is one of `RETURN_ORIGINS`.
fn shown(context: &Context<'_>, session: &OpenedConnectSession) -> Response {
    let return_origin = Url::parse(&session.returns.return_url)
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default();
    let settings = context.settings;
    let offered = session.integration_types.iter().filter_map(|kind| {
        let own = matches!(session.oauth_apps.get(kind), Some(Some(_)));
        // A reconnection keeps the integration's app.
        let may_be_own = own || session.reconnects.is_some() && settings.oauth_type(kind).is_ok();
        let provider = settings.provider(kind)?;
        (may_be_own || settings.offer(kind).is_some()).then(|| ShownProvider::of(provider))
    });
    let providers: Vec<_> = offered.collect();
    let choice = session.pending.as_ref().map(
        |choice| json!({"integration_type": choice.integration_type, "accounts": choice.accounts}),
    );
    Response::json(
        200,
        &json!({
            "id": session.id,
            "state": session.state,
            "is_open": session.is_open(),
            "return_origin": return_origin,
            "external_user": session.external_user_name.as_ref().unwrap_or(&session.external_user_id),
            "integration_types": session.integration_types,
            "providers": providers,
            "reconnects": session.reconnects.is_some(),
            "choice": choice,
            "expires_at": session.expires_at,
        }),
    )
}

fn returning(return_to: &str) -> Response {
    Response::json(200, &json!({"return_to": return_to}))
}

const UNKNOWN_LINK: &str = "no such link; ask for another one where you got it";
