//! Connect sessions, for the backend that starts them: `/api/connect-sessions`.

use crate::auth::service_key::Scope;
use crate::connect::store_connection::{self, Connection, Received};
use crate::context::Context;
use crate::credentials::{self, Row};
use crate::db::{
    AdmitCompletion, Apps, CompletionAdmitted, ConnectSessionCreated, ConnectSessionFound,
    Connector, CreateConnectSession, FindConnectSession, ParkedGrant, Scopes,
};
use crate::display_name::is_line;
use crate::error::{ClientError, Error, Result};
use crate::host::{random_bytes, random_uuid};
use crate::http::Response;
use crate::http::url::parse_return_url;
use crate::ids::{ConnectSessionId, IntegrationId, OrganizationId, ServiceKeyId};
use crate::random::{RandomToken, sha256_base64url};
use crate::tags;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const UNKNOWN: ClientError = ClientError::NoSuch("no such connect session");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSession {
    organization_id: String,
    external_user_id: String,
    external_user_name: Option<String>,
    integration_types: Option<Vec<String>>,
    integration_id: Option<String>,
    return_url: String,
    state: Option<String>,
    code_challenge: String,
    #[serde(default)]
    scopes: Scopes,
    #[serde(default)]
    oauth_apps: Apps,
    #[serde(default)]
    metadata: Map<String, Value>,
    tags: Option<Vec<String>>,
}

/// `POST /api/connect-sessions`: the only response that contains the link.
pub async fn create(context: &Context<'_>) -> Result<Response> {
    const EXPECTED: &str = r#"expected {"organization_id","external_user_id","external_user_name"?,"integration_types" or "integration_id","return_url","state"?,"code_challenge","scopes"?,"oauth_apps"?,"metadata"?,"tags"?}"#;
    let key = context.service_key(Scope::ConnectSessionsWrite).await?;
    let body: NewSession = context.json(EXPECTED).await?;
    check(&body)?;
    let organization = OrganizationId::parse(&body.organization_id)?;
    let reconnects = body.integration_id.as_deref().map(IntegrationId::parse);
    let reconnects = reconnects.transpose()?;
    let return_url = parse_return_url(&body.return_url, &context.settings.return_origins)
        .ok_or(ClientError::ReturnUrl)?;
    check_offers(context, &body)?;
    let id = ConnectSessionId(random_uuid()?);
    let token = RandomToken::from_bytes(random_bytes()?);
    let call = CreateConnectSession {
        p_service_key: key,
        p_id: id,
        p_token_hash: &token.hash(),
        p_organization_id: organization,
        p_external_user_id: &body.external_user_id,
        p_external_user_name: body.external_user_name.as_deref(),
        p_integration_types: body.integration_types.as_deref(),
        p_reconnects: reconnects,
        p_return_url: return_url.as_str(),
        p_return_state: body.state.as_deref(),
        p_code_challenge: &body.code_challenge,
        p_scopes: &body.scopes,
        p_oauth_apps: &body.oauth_apps,
        p_metadata: &body.metadata,
        p_tags: body.tags.as_deref(),
    };
    match context.call(&call).await? {
        ConnectSessionCreated::Created { expires_at } => {
            // In the fragment, which browsers send to no server: the token is in no log and no Referer, and a preview of the link does not
            // open it.
            let url = format!("{}/connect#{}", context.settings.app_url, token.expose());
            let answer = json!({"id": id, "url": url, "expires_at": expires_at});
            Ok(Response::json(201, &answer))
        }
        ConnectSessionCreated::ForeignOrganization => Err(ClientError::ForeignOrganization.into()),
        ConnectSessionCreated::UnknownIntegration => Err(ClientError::UnknownIntegration.into()),
        ConnectSessionCreated::NoAccount => Err(ClientError::AccountUnknown.into()),
        ConnectSessionCreated::ForeignScopes => Err(ClientError::ScopesNotAllowed.into()),
        ConnectSessionCreated::UnknownApp => Err(ClientError::UnknownApp.into()),
        ConnectSessionCreated::TooMany => Err(ClientError::TooManyConnectSessions.into()),
    }
}

/// Checks the bounds of the table.
fn check(body: &NewSession) -> Result<()> {
    let wrong = |expected| Err(ClientError::Invalid(expected).into());
    if body.integration_types.is_some() == body.integration_id.is_some() {
        return wrong("give integration_types, or the integration_id to reconnect");
    }
    if !is_line(&body.external_user_id) || !body.external_user_name.as_deref().is_none_or(is_line) {
        return wrong(
            "external_user_id and external_user_name must be 1 to 200 characters on one line, without surrounding blanks",
        );
    }
    let types = body.integration_types.as_deref();
    if types.is_some_and(|types| !(1..=100).contains(&types.len())) {
        return wrong("integration_types must name 1 to 100 types");
    }
    if RandomToken::parse(&body.code_challenge).is_none() {
        return wrong(
            "code_challenge must be the S256 challenge of your verifier (RFC 7636): 43 characters of base64url",
        );
    }
    let state = body.state.as_deref().map(|state| state.chars().count());
    if state.is_some_and(|length| !(1..=512).contains(&length)) {
        return wrong("state must be 1 to 512 characters");
    }
    if json!(body.scopes).to_string().len() > 4_096 {
        return wrong("scopes must be an object of at most 4096 bytes");
    }
    if body.oauth_apps.len() > 100 {
        return wrong("oauth_apps must name the apps of at most 100 types");
    }
    if let Some(tags) = &body.tags {
        tags::check(tags)?;
    }
    let metadata = Value::Object(body.metadata.clone());
    if metadata.to_string().len() + exponents(&metadata) > METADATA_MAX {
        return wrong(
            "metadata must be an object of at most 2048 bytes, with its numbers written out",
        );
    }
    Ok(())
}

/// The longest metadata, in bytes. The table's bound leaves room for the blanks that the database adds.
const METADATA_MAX: usize = 2_048;

/// How many bytes a value gets longer at the most, because the database writes its numbers out: 1e300 has 301 digits there.
fn exponents(value: &Value) -> usize {
    match value {
        Value::Number(number) => match number.to_string().split_once(['e', 'E']) {
            Some((_, exponent)) => exponent
                .parse()
                .map_or(METADATA_MAX, |exponent: i16| exponent.unsigned_abs().into()),
            None => 0,
        },
        Value::Array(items) => items.iter().map(exponents).sum(),
        Value::Object(members) => members.values().map(exponents).sum(),
        _ => 0,
    }
}

/// Rejects types that nobody can connect, and scopes that the operator does not request.
fn check_offers(context: &Context<'_>, body: &NewSession) -> Result<()> {
    for kind in body.integration_types.iter().flatten() {
        match body.oauth_apps.get(kind) {
            Some(Some(_)) => context.settings.oauth_type(kind).map(|_| ())?,
            _ if context.settings.offer(kind).is_some() => {}
            _ => return Err(ClientError::UnknownProvider.into()),
        }
    }
    for (kind, asked) in &body.scopes {
        let oauth_type = context.settings.oauth_type(kind);
        let oauth_type = oauth_type.map_err(|_| ClientError::ScopesNotAllowed)?;
        if !asked
            .iter()
            .all(|scope| oauth_type.provider.scopes.contains(scope))
        {
            return Err(ClientError::ScopesNotAllowed.into());
        }
    }
    Ok(())
}

/// `GET /api/connect-sessions/:id`
pub async fn show(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = ConnectSessionId::parse(id)?;
    let key = context.service_key(Scope::ConnectSessionsWrite).await?;
    shown(context, key, id).await
}

/// `POST /api/connect-sessions/:id/complete`: stores the parked grant.
pub async fn complete(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        code: String,
        code_verifier: String,
    }
    let id = ConnectSessionId::parse(id)?;
    let key = context.service_key(Scope::ConnectSessionsWrite).await?;
    let body: Body = context.json(r#"expected {"code","code_verifier"}"#).await?;
    // RFC 7636, 4.1.
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let verifier = &body.code_verifier;
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
        let expected = "code_verifier must be 43 to 128 unreserved characters (RFC 7636)";
        return Err(ClientError::Invalid(expected).into());
    }
    let code = RandomToken::parse(&body.code).ok_or(ClientError::Invalid(
        "code must be the parameter of the return URL",
    ))?;
    let call = AdmitCompletion {
        p_service_key: key,
        p_id: id,
        p_code_hash: &code.hash(),
        p_code_challenge: &sha256_base64url(verifier),
        p_request_id: &context.request_id,
    };
    let grant = match context.call(&call).await? {
        CompletionAdmitted::Admitted(grant) => grant,
        CompletionAdmitted::Wrong => return Err(ClientError::WrongCompletion.into()),
        CompletionAdmitted::NotReady => return Err(ClientError::ConnectSessionNotReady.into()),
        CompletionAdmitted::Completed => return Err(ClientError::ConnectSessionCompleted.into()),
        CompletionAdmitted::Failed | CompletionAdmitted::Expired => {
            return Err(ClientError::ConnectSessionOver.into());
        }
        CompletionAdmitted::Unknown => return Err(UNKNOWN.into()),
    };
    match store(context, id, &grant).await {
        Err(Error::Client(
            error @ (ClientError::UnknownChoice | ClientError::UnknownIntegration),
        )) => Err(gone(context, key, id, error).await?.into()),
        Err(error) => Err(error),
        Ok(()) => shown(context, key, id).await,
    }
}

async fn store(context: &Context<'_>, id: ConnectSessionId, grant: &ParkedGrant) -> Result<()> {
    let provider = context.settings.provider(&grant.integration_type);
    let provider = provider.ok_or(ClientError::UnknownProvider)?;
    let row = Row::Pending(grant.pending_id);
    let opened = context.open(grant.organization_id, row, &grant.config);
    let config = opened.await??;
    let connection = Connection {
        connector: Connector::Session(id),
        organization: grant.organization_id,
        provider,
        account: &grant.account,
        name: None,
        received: Received::Pending(grant.pending_id),
        reconnected: grant.reconnects,
    };
    let config = credentials::with_account(&config, provider, &grant.account);
    store_connection::complete(context, &connection, &config).await?;
    Ok(())
}

/// The error of a completion whose grant, or integration to reconnect, is gone: another completion stored it, or it has expired.
async fn gone(
    context: &Context<'_>,
    key: ServiceKeyId,
    id: ConnectSessionId,
    error: ClientError,
) -> Result<ClientError> {
    let call = FindConnectSession {
        p_service_key: key,
        p_id: id,
    };
    let ConnectSessionFound::Found { connect_session } = context.call(&call).await? else {
        return Ok(UNKNOWN);
    };
    let state = connect_session.get("state").and_then(Value::as_str);
    Ok(match (state, error) {
        (Some("completed"), _) => ClientError::ConnectSessionCompleted,
        (Some("waiting_for_completion"), error @ ClientError::UnknownIntegration) => error,
        _ => ClientError::ConnectSessionOver,
    })
}

async fn shown(context: &Context<'_>, key: ServiceKeyId, id: ConnectSessionId) -> Result<Response> {
    let call = FindConnectSession {
        p_service_key: key,
        p_id: id,
    };
    match context.call(&call).await? {
        ConnectSessionFound::Found { connect_session } => Ok(Response::json(200, &connect_session)),
        ConnectSessionFound::Unknown => Err(UNKNOWN.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_an_exponent_counts_as_it_is_stored() {
        for (text, longer) in [
            ("[1, 0.1, -12345678901234567890123]", 0),
            (r#"{"a": [1e300, {"b": 1.5E-20}], "e": "1e300"}"#, 320),
            ("1e99999", METADATA_MAX),
            ("1e-99999999999999999999", METADATA_MAX),
        ] {
            let value = serde_json::from_str(text).unwrap();
            assert_eq!(exponents(&value), longer, "{text}");
        }
    }
}
