//! A program stores a grant, or other credentials, that it already has: `POST /api/integrations/import`.
//!
//! The provider says whose credential it is before anything is stored. Until the import has succeeded, the grant is the source
//! application's: it is never pending, and it is never revoked here.

use crate::auth::service_key::Scope;
use crate::connect::credential_connect::{self, ensure_not_paused};
use crate::connect::store_connection::persistently;
use crate::context::Context;
use crate::credentials::{self, Row};
use crate::db::{AdmitImport, ImportAdmitted, ImportConnection, Imported};
use crate::display_name::is_line;
use crate::error::{ClientError, Error, Result};
use crate::health::verdict::judge;
use crate::host::{self, now, random_uuid};
use crate::http::Response;
use crate::ids::{IntegrationId, OrganizationId, ServiceKeyId};
use crate::oauth::identity::{self, Asked};
use crate::oauth::refresh::{self, Redemption};
use crate::oauth::{self, Account, Client};
use crate::offer::Offer;
use crate::service::import_credential::{self, has_access_token, not_refreshable};
use catalogue::{Auth, Refresh, Source};
use sealed::PlainConfig;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::iter;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    organization_id: String,
    integration_type: String,
    credential: Option<Map<String, Value>>,
    config: Option<Map<String, Value>>,
    account_id: Option<String>,
    external_user_id: Option<String>,
    #[serde(default)]
    replace: bool,
}

struct Import<'a> {
    key: ServiceKeyId,
    organization: OrganizationId,
    offer: &'a Offer,
    account: Account,
    config: PlainConfig,
    admitted_at: String,
}

/// `POST /api/integrations/import`
pub async fn import(context: &Context<'_>) -> Result<Response> {
    const EXPECTED: &str = r#"expected {"organization_id","integration_type","credential" or "config","account_id"?,"external_user_id"?,"replace"?}"#;
    let key = context.service_key(Scope::ConnectionsImport).await?;
    let mut body: Body = context.json(EXPECTED).await?;
    let organization = OrganizationId::parse(&body.organization_id)?;
    if !body.external_user_id.as_deref().is_none_or(is_line) {
        const LINE: &str =
            "external_user_id must be 1 to 200 characters on one line, without surrounding blanks";
        return Err(ClientError::Invalid(LINE).into());
    }
    let offer = context.settings.offer(&body.integration_type);
    let offer = offer.ok_or(ClientError::UnknownProvider)?;
    if offer.provider().identity.from == Source::TokenResponse {
        return Err(ClientError::NotImportable.into());
    }
    let provider = offer.provider();
    let given = match (body.credential.take(), body.config.take()) {
        (Some(credential), None) => import_credential::read(provider, credential, now())?,
        (None, Some(config)) => import_credential::of_config(provider, config, now())?,
        _ => return Err(ClientError::Body(EXPECTED).into()),
    };
    let admitted_at = admit(context, key, organization, &body.integration_type).await?;
    context.prepare_sealing(iter::once(organization)).await?;
    let account_id = body.account_id.as_deref();
    let (account, config) = match offer {
        Offer::OAuth(client) => of_grant(context, offer, client, given, account_id).await?,
        Offer::Credentials(_) => of_fields(context, offer, given, account_id).await?,
    };
    let import = Import {
        key,
        organization,
        offer,
        account,
        config,
        admitted_at,
    };
    let (id, is_new) = store(context, &import, &body).await?;
    let reason = not_refreshable(provider, &import.config);
    let answer = json!({
        "id": id,
        "organization_id": organization,
        "integration_type": body.integration_type,
        "account_id": import.account.id,
        "replaced": !is_new,
        "refreshable": reason.is_none(),
        "not_refreshable_reason": reason,
    });
    Ok(Response::json(if is_new { 201 } else { 200 }, &answer))
}

/// Counts the import. Returns the time.
async fn admit(
    context: &Context<'_>,
    key: ServiceKeyId,
    organization: OrganizationId,
    kind: &str,
) -> Result<String> {
    let call = AdmitImport {
        p_service_key: key,
        p_organization_id: organization,
        p_integration_type: kind,
    };
    match context.call(&call).await? {
        ImportAdmitted::Admitted { at } => Ok(at),
        ImportAdmitted::ForeignOrganization => Err(ClientError::ForeignOrganization.into()),
        ImportAdmitted::Paused { seconds } => Err(ClientError::ProviderPaused { seconds }.into()),
        ImportAdmitted::TooMany { seconds } => Err(ClientError::TooManyRequests { seconds }.into()),
    }
}

/// Asks the provider whose grant it is. The grant is not ours: whatever the answer, it is not revoked.
async fn of_grant(
    context: &Context<'_>,
    offer: &Offer,
    client: &Client,
    mut config: PlainConfig,
    account_id: Option<&str>,
) -> Result<(Account, PlainConfig)> {
    let accounts = match accounts(offer, &config).await? {
        Some(accounts) => accounts,
        None => {
            config = redeemed(context, client, &config).await?;
            let accounts = accounts(offer, &config).await?;
            accounts.ok_or(ClientError::CredentialsRefused)?
        }
    };
    let count = accounts.len();
    let mut accounts = accounts.into_iter();
    let account = match account_id {
        Some(id) => accounts.find(|account| account.id == id),
        None if count > 1 => return Err(ClientError::SeveralAccounts.into()),
        None => accounts.next(),
    };
    let account = account.ok_or(ClientError::OtherAccount)?;
    let config = credentials::with_account(&config, offer.provider(), &account);
    Ok((account, config))
}

/// None: there is no access token, or the provider rejects it.
async fn accounts(offer: &Offer, config: &PlainConfig) -> Result<Option<Vec<Account>>> {
    if !has_access_token(config) {
        return Ok(None);
    }
    let request = identity::request(offer, config)
        .ok_or(Error::provider("identity endpoint: nothing to ask it with"))?;
    let answer = host::send(&request).await;
    ensure_not_paused(&answer)?;
    let answer = || match &answer {
        Ok(answer) => Ok(answer.read()),
        Err(error) => Err(*error),
    };
    if judge(offer, config, None, answer(), Asked::All, false).is_refusal() {
        return Ok(None);
    }
    identity::read(offer, config, answer(), Asked::All).map(Some)
}

/// Redeems the refresh token, if that leaves it valid for the source: nothing is lost with an answer that is.
async fn redeemed(
    context: &Context<'_>,
    client: &Client,
    config: &PlainConfig,
) -> Result<PlainConfig> {
    let refused = |detail| {
        host::log::warning(&context.request_id, detail);
        Err(ClientError::CredentialsRefused.into())
    };
    if client.provider.refresh != Refresh::Reusable || config.get_str("refresh_token").is_none() {
        return refused("import: the identity endpoint rejects the token");
    }
    let request = |client: &Client| {
        refresh::request(client, config).ok_or(Error::from(ClientError::CredentialsRefused))
    };
    let answer = oauth::send(client, None, request).await?;
    ensure_not_paused(&answer)?;
    let answer = answer.map(|answer| answer.read());
    match refresh::read(&client.provider, answer, now()) {
        Redemption::Granted(grant) => Ok(credentials::renewed(config, &grant)),
        Redemption::InvalidGrant | Redemption::InvalidClient => {
            refused("import: the token endpoint rejects the refresh token, or our client")
        }
        Redemption::Refused { detail, .. } | Redemption::OutcomeUnknown(detail) => {
            Err(Error::Provider {
                detail: detail.into(),
            })
        }
    }
}

/// Treats the fields as if a user had entered them.
async fn of_fields(
    context: &Context<'_>,
    offer: &Offer,
    given: PlainConfig,
    account_id: Option<&str>,
) -> Result<(Account, PlainConfig)> {
    let (account, config) = credential_connect::checked(context, offer, given).await?;
    if account_id.is_some_and(|id| id != account.id) {
        // The token that was requested with them.
        credential_connect::revoke(context, offer, &config).await;
        return Err(ClientError::OtherAccount.into());
    }
    Ok((account, config))
}

/// Returns the row's id, and whether it is new.
async fn store(
    context: &Context<'_>,
    import: &Import<'_>,
    body: &Body,
) -> Result<(IntegrationId, bool)> {
    /// How many row ids are tried: the database may name another, or the row may be deleted meanwhile.
    const ATTEMPTS: usize = 3;
    let (provider, organization) = (import.offer.provider(), import.organization);
    let mut id = IntegrationId(random_uuid()?);
    for _ in 0..ATTEMPTS {
        let write = async || {
            let row = Row::Integration(id);
            let call = ImportConnection {
                p_id: id,
                p_service_key: import.key,
                p_organization_id: organization,
                p_integration_type: &provider.kind,
                p_external_account_id: &import.account.id,
                p_name: &import.account.name,
                p_config: &context.seal(organization, row, &import.config).await?,
                p_granted_at: &import.admitted_at,
                p_replace: body.replace,
                p_is_grant: provider.auth == Auth::Oauth,
                p_external_user_id: body.external_user_id.as_deref(),
                p_request_id: &context.request_id,
            };
            persistently(context, &call).await
        };
        return Err(match context.write_sealed(organization, write).await? {
            Imported::Created => return Ok((id, true)),
            Imported::Updated => return Ok((id, false)),
            Imported::Exists { id: other } => {
                id = other;
                continue;
            }
            // The row was deleted meanwhile, and its id stores nothing again.
            Imported::Unknown => {
                id = IntegrationId(random_uuid()?);
                continue;
            }
            Imported::OwnOauthApp => ClientError::OwnOauthApp.into(),
            Imported::AlreadyConnected => ClientError::AlreadyConnected.into(),
            Imported::ForeignOrganization => ClientError::ForeignOrganization.into(),
            Imported::Outdated => ClientError::NewerCredentials.into(),
            Imported::Refreshing => ClientError::RefreshInProgress.into(),
            Imported::Revoking => ClientError::RevocationPending.into(),
        });
    }
    Err(Error::database_answer(
        "import_connection: the account's row changed its id each time",
    ))
}
