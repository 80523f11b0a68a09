//! A connection begins: `POST /api/auth/authorize`.

use super::{Context, random_bytes, random_uuid};
use crate::credentials::{self, Row};
use crate::error::{Refusal, Result};
use crate::host;
use crate::http::Response;
use crate::ids::{OrganizationId, TransactionId};
use crate::oauth::authorize::{Flow, authorization_url};
use crate::random::Token;
use crate::session::cookies;
use crate::supabase::functions::{BeginConnection, Begun};
use crate::url::parse_return_path;
use serde::Deserialize;
use serde_json::json;

/// How long a flow may take, in seconds; the database's rows live as long.
const FLOW_SECONDS: i64 = 600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    integration_type: String,
    organization_id: Option<String>,
    return_to: Option<String>,
}

/// Stores the flow and answers the URL to send the browser to.
pub async fn authorize(context: &Context<'_>) -> Result<Response> {
    let signed_in = context.signed_in().await?;
    let body: Body = context
        .json(r#"expected {"integration_type", "organization_id"?, "return_to"?}"#)
        .await?;
    let client = context
        .settings
        .client(&body.integration_type)
        .ok_or(Refusal::UnknownProvider)?;
    let organization = match &body.organization_id {
        Some(id) => OrganizationId::parse(id)?,
        None => signed_in.user.id.personal_organization(),
    };
    let return_to = parse_return_path(body.return_to.as_deref().unwrap_or("/")).ok_or(
        Refusal::Invalid("return_to must be a path of this site, such as /settings"),
    )?;

    let flow = Flow {
        state: Token::from_bytes(random_bytes()?),
        binding: Token::from_bytes(random_bytes()?),
        verifier: Token::from_bytes(random_bytes()?),
    };
    let id = TransactionId(random_uuid()?);
    let verifier = credentials::of_verifier(&flow.verifier);
    let verifier = credentials::seal(
        &context.settings.ring,
        organization,
        Row::Transaction(id),
        &verifier,
        &mut host::random,
    )?;
    let state_hash = flow.state.hash();
    let begun = context
        .call(&BeginConnection {
            p_id: id,
            p_state_hash: &state_hash,
            p_binding_hash: &flow.binding.hash(),
            p_user_id: signed_in.user.id,
            p_organization_id: organization,
            p_integration_type: &client.provider.kind,
            p_issuer: client.issuer.as_deref(),
            p_redirect_uri: &client.redirect_uri,
            p_verifier: &verifier,
            p_return_to: return_to,
        })
        .await?;
    match begun {
        Begun::Begun => {
            let cookie = cookies::set(
                &cookies::flow_name(&state_hash),
                flow.binding.expose(),
                FLOW_SECONDS,
            )?;
            let answer = json!({"authorization_url": authorization_url(client, &flow)});
            Ok(Response::json(200, &answer).with_header("set-cookie", cookie))
        }
        Begun::NotAMember => Err(Refusal::NotAMember.into()),
        Begun::TooMany => Err(Refusal::TooMany.into()),
    }
}
