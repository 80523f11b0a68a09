//! The OAuth callback: `GET /api/auth/callback/:type`.
//!
//! The order of the checks is the defence: the browser's cookie, the signed-in user (or the connect session's own cookie in the user's
//! place), the transaction (consumed, once), the provider of the path, the issuer. Only then is the code exchanged. The grant is stored as pending at once. From then on it ends stored or revoked, even if
//! this request fails.

use crate::auth::cookies;
use crate::connect::session_return;
use crate::connect::store_connection::{self, Connection, Received};
use crate::context::{Context, Task};
use crate::credentials::{self, Row};
use crate::db::{
    AddPendingConnection, Connector, ConsumeTransaction, Consumed, OfferAccounts, Offered,
    Transaction,
};
use crate::error::{ClientError, Error, Result};
use crate::host::now;
use crate::host::random_uuid;
use crate::host::{self, UpstreamResponse};
use crate::http::rate_limit::retry_after;
use crate::http::url::with_parameter;
use crate::http::{Response, SendError};
use crate::ids::PendingId;
use crate::jobs::revocations;
use crate::oauth::{Account, Client, Grant, callback, identity, send, token};
use crate::oauth_apps::client;
use crate::offer::Offer;
use crate::random::RandomToken;
use crate::recovery::note::{Exchange, exchange_note};
use catalogue::Source;
use sealed::PlainConfig;
use std::iter;

/// `GET /api/auth/callback`: the redirect URI of the source document's Supabase apps.
pub async fn callback_of_supabase(context: &Context<'_>) -> Result<Response> {
    callback(context, "supabase").await
}

/// Finishes the flow and redirects the browser.
pub async fn callback(context: &Context<'_>, kind: &str) -> Result<Response> {
    let response = callback::AuthorizationResponse::parse(&context.incoming.head.query)?;
    let state_hash = response.state.hash();
    let flow_cookie = FlowCookie::find(context, &state_hash)?;
    // The transaction, which is not read yet, says with which app.
    context.settings.oauth_type(kind)?;
    let user = match flow_cookie.is_of_session {
        true => None,
        false => Some(context.signed_in().await?.user.id),
    };
    let consume = ConsumeTransaction {
        p_state_hash: &state_hash,
        p_binding_hash: &flow_cookie.binding.hash(),
        p_user_id: user,
    };
    let transaction = match context.call(&consume).await? {
        Consumed::Consumed(transaction) => transaction,
        Consumed::NotAMember => return Err(ClientError::NotAMember.into()),
        Consumed::Foreign => return Err(ClientError::ForeignFlow.into()),
        Consumed::Unknown => return Err(ClientError::UnknownFlow.into()),
    };
    let connector = match (user, &transaction.connect_session) {
        (Some(id), None) => Connector::User(id),
        (None, Some(session)) => Connector::Session(session.id),
        _ => return Err(ClientError::UnknownFlow.into()),
    };
    let connected = connect(context, response, kind, &transaction, connector).await;
    let answer = match (connected, &transaction.connect_session) {
        (Err(error), Some(session)) => session_return::failed(context, session, &error).await,
        (connected, _) => connected?,
    };
    Ok(answer.with_header("set-cookie", cookies::clear(&flow_cookie.name)))
}

struct FlowCookie {
    name: String,
    binding: RandomToken,
    is_of_session: bool,
}

impl FlowCookie {
    fn find(context: &Context<'_>, state_hash: &str) -> Result<Self> {
        let cookies = context.cookies()?;
        for (name, is_of_session) in [
            (cookies::session_flow_name(state_hash), true),
            (cookies::flow_name(state_hash), false),
        ] {
            if let Some(binding) = cookies.get(&name)?.and_then(RandomToken::parse) {
                return Ok(Self {
                    name,
                    binding,
                    is_of_session,
                });
            }
        }
        Err(ClientError::ForeignFlow.into())
    }
}

/// Continues after the transaction is consumed.
async fn connect(
    context: &Context<'_>,
    response: callback::AuthorizationResponse,
    kind: &str,
    transaction: &Transaction,
    connector: Connector,
) -> Result<Response> {
    if transaction.integration_type != kind {
        return Err(ClientError::WrongIssuer.into());
    }
    let code = match response.answer(transaction.issuer.as_deref())? {
        callback::AuthorizationOutcome::Code(code) => code,
        callback::AuthorizationOutcome::Declined => return Err(ClientError::Declined.into()),
        callback::AuthorizationOutcome::Failed => {
            return Err(Error::provider(
                "authorization endpoint: answered an error other than access_denied",
            ));
        }
    };
    if transaction.integration_id.is_some() && transaction.account_id.is_none() {
        return Err(ClientError::UnknownIntegration.into());
    }
    let app = transaction.oauth_app.as_ref();
    let organization = transaction.organization_id;
    let offer = client::offer(context, kind, organization, app).await?;
    let client = oauth_client(&offer)?;
    context.prepare_sealing(iter::once(organization)).await?;
    let exchanged = Exchange {
        id: random_uuid()?,
        integration_type: kind.to_owned(),
        connector,
        organization,
        return_to: transaction.return_to.clone(),
        oauth_app: transaction.oauth_app.clone(),
    };
    let note = exchange_note(&exchanged);
    let grant = exchange(context, client, transaction, &code, &note).await?;
    let config = credentials::config(&grant);
    let pending = write_down(context, client, &exchanged, &grant, &config).await;
    host::settled(&note);
    let flow = Flow {
        offer: &offer,
        client,
        connector,
        transaction,
        pending: pending?,
    };
    let mut account = None;
    match finish(context, &flow, &grant, &config, &mut account).await {
        Ok(response) => Ok(response),
        Err(error) => {
            let account = account.as_deref();
            let provider = &client.provider;
            revocations::abandon(context, provider, connector, flow.pending, account).await;
            Err(error)
        }
    }
}

fn oauth_client(offer: &Offer) -> Result<&Client> {
    match offer {
        Offer::OAuth(client) => Ok(client),
        Offer::Credentials(_) => Err(ClientError::ConnectsByCredentials.into()),
    }
}

struct Flow<'a> {
    offer: &'a Offer,
    client: &'a Client,
    connector: Connector,
    transaction: &'a Transaction,
    pending: PendingId,
}

async fn exchange(
    context: &Context<'_>,
    client: &Client,
    transaction: &Transaction,
    code: &str,
    note: &str,
) -> Result<Grant> {
    let row = Row::Transaction(transaction.id);
    let opened = context.open(transaction.organization_id, row, &transaction.verifier);
    let opened = opened.await??;
    let verifier = credentials::verifier(&opened)?;
    let request = |client: &Client| {
        let uri = &transaction.redirect_uri;
        Ok::<_, Error>(token::request(client, code, uri, verifier.expose()))
    };
    let answer = send(client, Some(note), request).await?;
    let mut grant = read(context, client, answer).await?;
    if grant.scopes.is_none() {
        let requested = credentials::granted_scopes(opened.as_map());
        let requested = requested.map(|scopes| scopes.into_iter().map(str::to_owned).collect());
        grant.scopes = requested;
    }
    Ok(grant)
}

/// Revokes tokens that cannot be used.
async fn read(
    task: &Task,
    client: &Client,
    answer: Result<UpstreamResponse, SendError>,
) -> Result<Grant> {
    let limits = answer
        .as_ref()
        .map(UpstreamResponse::limits)
        .unwrap_or_default();
    let answer = answer.map(|answer| answer.read());
    let unusable = match token::read(&client.provider, answer, now()) {
        Ok(grant) => return Ok(grant),
        Err(unusable) => unusable,
    };
    if let Some(tokens) = &unusable.tokens {
        let refresh = tokens.refresh_token.as_ref();
        revocations::directly(task, client, &tokens.access_token, refresh).await;
    }
    if unusable.status == 429 {
        let seconds = retry_after(&limits.retry_after, now()).unwrap_or(60);
        return Err(ClientError::CodeSpent { seconds }.into());
    }
    Err(unusable.error)
}

/// Gives up the grant of an exchange whose callback has ended.
pub async fn give_up(
    task: &Task,
    exchange: &Exchange,
    answer: Result<UpstreamResponse, SendError>,
) -> Result<()> {
    let app = exchange.oauth_app.as_ref();
    let kind = &exchange.integration_type;
    let offer = client::offer(task, kind, exchange.organization, app).await?;
    let client = oauth_client(&offer)?;
    let Ok(grant) = read(task, client, answer).await else {
        return Ok(());
    };
    let config = credentials::config(&grant);
    let pending = write_down(task, client, exchange, &grant, &config).await?;
    let provider = &client.provider;
    revocations::abandon(task, provider, exchange.connector, pending, None).await;
    Ok(())
}

/// Stores the sealed grant as pending. If that fails, nobody can use the grant, so it is revoked at once. If the write arrives late after all,
/// the schedule revokes it again.
async fn write_down(
    task: &Task,
    client: &Client,
    exchange: &Exchange,
    grant: &Grant,
    config: &PlainConfig,
) -> Result<PendingId> {
    let id = PendingId(random_uuid()?);
    let write = async || {
        let config = task
            .seal(exchange.organization, Row::Pending(id), config)
            .await?;
        let call = AddPendingConnection {
            p_id: id,
            connector: exchange.connector.into(),
            p_organization_id: exchange.organization,
            p_integration_type: &client.provider.kind,
            p_config: &config,
            p_return_to: &exchange.return_to,
            p_oauth_app_id: exchange.oauth_app.as_ref().map(|app| app.id),
        };
        store_connection::persistently(task, &call).await
    };
    let written = task.write_sealed(exchange.organization, write).await;
    if written.is_err() {
        let refresh = grant.refresh_token.as_ref();
        revocations::directly(task, client, &grant.access_token, refresh).await;
    }
    written.map(|_| id)
}

/// Stores the connection, or leaves it pending if the grant covers several accounts: one row each would share one refresh token, and the first
/// refresh would cut off all the others. A reconnection accepts only its own account. `account` is set once the account at the provider is
/// known.
async fn finish(
    context: &Context<'_>,
    flow: &Flow<'_>,
    grant: &Grant,
    config: &PlainConfig,
    account: &mut Option<String>,
) -> Result<Response> {
    let transaction = flow.transaction;
    let provider = &flow.client.provider;
    let accounts = accounts(flow.offer, grant, config).await?;
    let chosen = match (&transaction.account_id, accounts.as_slice()) {
        (Some(wanted), accounts) => accounts
            .iter()
            .find(|account| account.id == *wanted)
            .ok_or(ClientError::AccountMismatch)?,
        (None, [account]) => account,
        (None, accounts) => return offer_accounts(context, flow, accounts).await,
    };
    *account = Some(chosen.id.clone());
    if let Some(session) = &transaction.connect_session {
        let return_to = session_return::park(context, session, flow.pending, chosen).await?;
        return Ok(Response::see_other(return_to));
    }
    let config = credentials::with_account(config, provider, chosen);
    let connection = Connection {
        connector: flow.connector,
        organization: transaction.organization_id,
        provider,
        account: chosen,
        name: None,
        received: Received::Pending(flow.pending),
        reconnected: transaction.integration_id,
    };
    let stored = store_connection::complete(context, &connection, &config).await?;
    let mut response = Response::see_other(with_parameter(
        &transaction.return_to,
        "connected",
        &stored.id.to_string(),
    ));
    if context.settings.legacy_cookies {
        response
            .headers
            .extend(store_connection::legacy_cookies(&connection, &stored)?);
    }
    Ok(response)
}

async fn accounts(offer: &Offer, grant: &Grant, config: &PlainConfig) -> Result<Vec<Account>> {
    match (offer.provider().identity.from, &grant.account) {
        (Source::TokenResponse, Some(account)) => Ok(vec![account.clone()]),
        (Source::TokenResponse, None) => Err(Error::provider(
            "token endpoint: the answer names no account",
        )),
        (Source::Request, _) => {
            let request = identity::request(offer, config)
                .ok_or(Error::provider("identity endpoint: nothing to ask it with"))?;
            identity::read(
                offer,
                config,
                host::fetch(&request).await,
                identity::Asked::All,
            )
        }
    }
}

async fn offer_accounts(
    context: &Context<'_>,
    flow: &Flow<'_>,
    accounts: &[Account],
) -> Result<Response> {
    let call = OfferAccounts {
        p_id: flow.pending,
        connector: flow.connector.into(),
        p_accounts: accounts,
    };
    let chooser = match flow.connector {
        Connector::User(_) => with_parameter("/", "choose", &flow.pending.to_string()),
        Connector::Session(id) => session_return::page(id),
    };
    match store_connection::persistently(context, &call).await? {
        Offered::Waiting => Ok(Response::see_other(chooser)),
        Offered::NotAMember => Err(ClientError::NotAMember.into()),
        Offered::Unknown => Err(ClientError::UnknownChoice.into()),
    }
}
