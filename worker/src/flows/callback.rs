//! A connection comes back: `GET /api/auth/callback/:type`.
//!
//! The order is the defence: the browser's cookie, the signed-in user, the flow (consumed, once), the provider of the path, the
//! issuer; only then is the code exchanged. Whatever fails after that, the grant is taken back.

use super::completion::{self, Connection};
use super::{Context, now, random_uuid};
use crate::credentials::{self, Row};
use crate::error::{Error, Refusal, Result};
use crate::host;
use crate::http::Response;
use crate::ids::ParkedId;
use crate::oauth::callback::{self, Answer};
use crate::oauth::{Account, Client, Grant, identity, token};
use crate::offer::Offer;
use crate::providers::Source;
use crate::random::Token;
use crate::session::cookies;
use crate::session::jwt::User;
use crate::supabase::functions::{
    ConsumeTransaction, Consumed, ParkConnection, Parking, Transaction,
};
use crate::url::with_parameter;
use sealed::PlainConfig;

/// Finishes the flow and sends the browser on.
pub async fn callback(context: &Context<'_>, kind: &str) -> Result<Response> {
    let response = callback::Response::parse(&context.incoming.head.query)?;
    let state_hash = response.state.hash();
    let cookie = cookies::flow_name(&state_hash);
    let binding = context
        .cookies()?
        .get(&cookie)?
        .and_then(Token::parse)
        .ok_or(Refusal::ForeignFlow)?;
    let client = context.settings.client(kind)?;
    let offer = context.settings.offer(kind);
    let offer = offer.ok_or(Refusal::UnknownProvider)?;
    let user = context.signed_in().await?.user;
    let consume = ConsumeTransaction {
        p_state_hash: &state_hash,
        p_binding_hash: &binding.hash(),
        p_user_id: user.id,
    };
    let transaction = match context.call(&consume).await? {
        Consumed::Consumed(transaction) => transaction,
        Consumed::NotAMember => return Err(Refusal::NotAMember.into()),
        Consumed::Foreign => return Err(Refusal::ForeignFlow.into()),
        Consumed::Unknown => return Err(Refusal::UnknownFlow.into()),
    };
    if transaction.integration_type != kind {
        return Err(Refusal::WrongIssuer.into());
    }
    let code = match response.answer(transaction.issuer.as_deref())? {
        Answer::Code(code) => code,
        Answer::Declined => return Err(Refusal::Declined.into()),
        Answer::Failed => {
            return Err(Error::provider(
                "authorization endpoint: answered an error other than access_denied",
            ));
        }
    };
    if transaction.integration_id.is_some() && transaction.account_id.is_none() {
        return Err(Refusal::UnknownIntegration.into());
    }
    let grant = exchange(context, client, &transaction, &code).await?;
    match settle(context, offer, client, &user, &transaction, &grant).await {
        Ok(response) => Ok(response.with_header("set-cookie", cookies::clear(&cookie))),
        Err(error) => {
            completion::revoke(
                context,
                client,
                Some(&grant.access_token),
                grant.refresh_token.as_ref(),
            )
            .await;
            Err(error)
        }
    }
}

async fn exchange(
    context: &Context<'_>,
    client: &Client,
    transaction: &Transaction,
    code: &str,
) -> Result<Grant> {
    let row = Row::Transaction(transaction.id);
    let opened = credentials::open(
        &context.settings.ring,
        transaction.organization_id,
        row,
        &transaction.verifier,
    )?;
    let verifier = credentials::verifier(&opened)?;
    let request = token::request(client, code, &transaction.redirect_uri, verifier.expose());
    token::read(&client.provider, host::fetch(&request).await, now())
}

/// Stores the grant, or lets it wait for the user's choice where it covers several accounts: one row each would share one
/// refresh token, and the first refresh would cut off all the others. A reconnection wants its own account back, and no other.
async fn settle(
    context: &Context<'_>,
    offer: &Offer,
    client: &Client,
    user: &User,
    transaction: &Transaction,
    grant: &Grant,
) -> Result<Response> {
    let config = credentials::config(grant);
    let accounts = accounts(offer, grant, &config).await?;
    let account = match (&transaction.account_id, accounts.as_slice()) {
        (Some(wanted), accounts) => accounts
            .iter()
            .find(|account| account.id == *wanted)
            .ok_or(Refusal::AccountMismatch)?,
        (None, [account]) => account,
        (None, accounts) => {
            return park(context, client, user, transaction, &config, accounts).await;
        }
    };
    let config = credentials::with_account(&config, &client.provider, account);
    let connection = Connection {
        user,
        organization: transaction.organization_id,
        provider: &client.provider,
        account,
        name: None,
        parked: None,
        reconnected: transaction.integration_id,
    };
    let stored = completion::complete(context, &connection, &config).await?;
    let mut response = Response::see_other(with_parameter(
        &transaction.return_to,
        "connected",
        &stored.id.to_string(),
    ));
    if context.settings.legacy_cookies {
        response
            .headers
            .extend(completion::legacy_cookies(&connection, &stored)?);
    }
    Ok(response)
}

/// The accounts that the provider names: in the answer with the tokens, or asked for.
async fn accounts(offer: &Offer, grant: &Grant, config: &PlainConfig) -> Result<Vec<Account>> {
    match (offer.provider().identity.from, &grant.account) {
        (Source::TokenAnswer, Some(account)) => Ok(vec![account.clone()]),
        (Source::TokenAnswer, None) => Err(Error::provider(
            "token endpoint: the answer names no account",
        )),
        (Source::Request, _) => {
            let request = identity::request(offer, config)
                .ok_or(Error::provider("identity endpoint: nothing to ask it with"))?;
            identity::read(offer, config, host::fetch(&request).await)
        }
    }
}

async fn park(
    context: &Context<'_>,
    client: &Client,
    user: &User,
    transaction: &Transaction,
    config: &PlainConfig,
    accounts: &[Account],
) -> Result<Response> {
    let id = ParkedId(random_uuid()?);
    let organization = transaction.organization_id;
    let sealed = credentials::seal(
        &context.settings.ring,
        organization,
        Row::Parked(id),
        config,
        &mut host::random,
    )?;
    let parking = context
        .call(&ParkConnection {
            p_id: id,
            p_user_id: user.id,
            p_organization_id: organization,
            p_integration_type: &client.provider.kind,
            p_config: &sealed,
            p_accounts: accounts,
            p_return_to: &transaction.return_to,
        })
        .await
        .map_err(completion::not_saved)?;
    match parking {
        Parking::Parked => Ok(Response::see_other(with_parameter(
            "/",
            "choose",
            &id.to_string(),
        ))),
        Parking::NotAMember => Err(Refusal::NotAMember.into()),
    }
}
