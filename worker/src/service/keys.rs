//! `/api/service-keys`: an organization's keys, for its owner.

use crate::auth::service_key::{Scope, ServiceKey};
use crate::context::Context;
use crate::db::{
    CreateServiceKey, ListServiceKeys, RevokeServiceKey, ServiceKeyCreated, ServiceKeyRevoked,
    ServiceKeyRow, ServiceKeysListed,
};
use crate::display_name::Name;
use crate::error::{ClientError, Result};
use crate::host::random_bytes;
use crate::http::Response;
use crate::http::query::organization;
use crate::ids::{OrganizationId, ServiceKeyId};
use crate::moment;
use crate::oauth::token;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// `GET /api/service-keys[?organization_id=]`
pub async fn list(context: &Context<'_>) -> Result<Response> {
    let organization = organization(&context.incoming.head.query)?;
    let user = context.signed_in().await?.user.id;
    let call = ListServiceKeys {
        p_user_id: user,
        p_organization_id: organization.unwrap_or_else(|| user.personal_organization()),
    };
    match context.call(&call).await? {
        ServiceKeysListed::Listed { service_keys } => {
            Ok(Response::json(200, &json!({"service_keys": service_keys})))
        }
        ServiceKeysListed::NotAMember => Err(ClientError::NotAMember.into()),
        ServiceKeysListed::NotTheOwner => Err(ClientError::NotTheOwner.into()),
    }
}

/// `POST /api/service-keys`: the only response that contains the key.
pub async fn create(context: &Context<'_>) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        organization_id: Option<String>,
        name: String,
        scopes: Vec<Scope>,
        expires_at: Option<String>,
    }
    #[derive(Serialize)]
    struct Created {
        #[serde(flatten)]
        row: Box<ServiceKeyRow>,
        key: String,
    }
    let user = context.signed_in().await?.user.id;
    let body: Body = context
        .json(r#"expected {"organization_id"?,"name","scopes","expires_at"?}; scopes must be documented ones"#)
        .await?;
    let organization = match &body.organization_id {
        Some(id) => OrganizationId::parse(id)?,
        None => user.personal_organization(),
    };
    let name = Name::parse(&body.name)?;
    if body.scopes.is_empty() {
        return Err(ClientError::Invalid("scopes must name at least one scope").into());
    }
    let expires_at = match body.expires_at.as_deref().map(moment::parse) {
        Some(None) => return Err(ClientError::Invalid(EXPIRY).into()),
        given => given.flatten().map(token::timestamp),
    };
    let key = ServiceKey::from_bytes(random_bytes()?);
    let call = CreateServiceKey {
        p_user_id: user,
        p_organization_id: organization,
        p_name: name.as_str(),
        p_prefix: &key.prefix(),
        p_hash: &key.hash(),
        p_scopes: &body.scopes,
        p_expires_at: expires_at.as_deref(),
    };
    match context.call(&call).await? {
        ServiceKeyCreated::Created { service_key } => Ok(Response::json(
            201,
            &Created {
                row: service_key,
                key: key.expose(),
            },
        )),
        ServiceKeyCreated::NotAMember => Err(ClientError::NotAMember.into()),
        ServiceKeyCreated::NotTheOwner => Err(ClientError::NotTheOwner.into()),
        ServiceKeyCreated::Expired => Err(ClientError::Invalid(EXPIRY).into()),
        ServiceKeyCreated::TooMany => Err(ClientError::TooManyServiceKeys.into()),
    }
}

const EXPIRY: &str = "expires_at must be a time in the future (RFC 3339)";

/// `DELETE /api/service-keys/:id`
pub async fn revoke(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = ServiceKeyId::parse(id)?;
    let call = RevokeServiceKey {
        p_user_id: context.signed_in().await?.user.id,
        p_id: id,
    };
    match context.call(&call).await? {
        ServiceKeyRevoked::Revoked { service_key } => Ok(Response::json(200, &service_key)),
        ServiceKeyRevoked::Unknown => Err(ClientError::UnknownServiceKey.into()),
    }
}
