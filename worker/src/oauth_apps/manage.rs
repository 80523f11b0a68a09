//! `/api/oauth-apps`: an organization's own OAuth apps.

use crate::auth::service_key::Scope;
use crate::context::{Context, Principal};
use crate::credentials::Row;
use crate::db::{
    ChangeOauthApp, CreateOauthApp, DeleteOauthApp, FindOauthApp, ListOauthApps, OauthAppChanged,
    OauthAppCreated, OauthAppDeleted, OauthAppFound, OauthAppsListed,
};
use crate::display_name::Name;
use crate::error::{ClientError, Error, Result};
use crate::host::{log, random_uuid};
use crate::http::Response;
use crate::http::query::organization;
use crate::ids::{OauthAppId, OrganizationId};
use crate::json;
use crate::oauth_apps::secrets;
use crate::settings::is_slug;
use sealed::{PlainConfig, Secret, StoredConfig};
use serde::{Deserialize, Serialize};
use serde_json::json;

const UNKNOWN: ClientError = ClientError::UnknownApp;
/// The longest slug. The table has the same bound.
const SLUG_MAX: usize = 100;
/// How often the secrets may change between the read and the write.
const ATTEMPTS: usize = 3;

/// `GET /api/oauth-apps[?organization_id=]`: the apps, and the types that an app can be added for.
pub async fn list(context: &Context<'_>) -> Result<Response> {
    #[derive(Serialize)]
    struct Type<'a> {
        integration_type: &'a str,
        name: &'a str,
        redirect_uri: &'a str,
        needs_slug: bool,
    }
    let named = organization(&context.incoming.head.query)?;
    let principal = context.principal(Scope::ConnectionsRead).await?;
    let call = ListOauthApps {
        p_organization_id: organization_of(&principal, named)?,
        caller: principal.caller,
    };
    let OauthAppsListed::Listed { oauth_apps } = context.call(&call).await? else {
        return Err(principal.not_a_member());
    };
    let types = context.settings.oauth_types.iter().map(|known| Type {
        integration_type: &known.provider.kind,
        name: &known.provider.name,
        redirect_uri: &known.redirect_uri,
        needs_slug: known.provider.wants_slug(),
    });
    let types: Vec<_> = types.collect();
    let answer = json!({"oauth_apps": oauth_apps, "types": types});
    Ok(Response::json(200, &answer))
}

/// `POST /api/oauth-apps`
pub async fn add(context: &Context<'_>) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        organization_id: Option<String>,
        integration_type: String,
        name: String,
        client_id: String,
        #[serde(deserialize_with = "json::secret")]
        client_secret: Secret,
        slug: Option<String>,
    }
    let principal = context.principal(Scope::ConnectionsWrite).await?;
    let body: Body = context
        .json(r#"expected {"organization_id"?,"integration_type","name","client_id","client_secret","slug"?}"#)
        .await?;
    let named = body.organization_id.as_deref();
    let named = named.map(OrganizationId::parse).transpose()?;
    let organization = organization_of(&principal, named)?;
    let oauth_type = context.settings.oauth_type(&body.integration_type)?;
    let name = Name::parse(&body.name)?;
    secrets::check_client_id(&body.client_id)?;
    secrets::check_secret(&body.client_secret)?;
    let slug = body.slug.as_deref();
    let is_fine = |slug: &str| (1..=SLUG_MAX).contains(&slug.len()) && is_slug(slug);
    if slug.is_some() != oauth_type.provider.wants_slug() || !slug.is_none_or(is_fine) {
        let expected = "slug must be the part of this type's URLs that names your app (letters, digits, hyphens and underscores), and absent for other types";
        return Err(ClientError::Invalid(expected).into());
    }
    let deployments = context.settings.client(&body.integration_type);
    if deployments.is_ok_and(|client| client.id == body.client_id) {
        return Err(ClientError::AppExists.into());
    }
    let id = OauthAppId(random_uuid()?);
    let config = secrets::config(&body.client_secret, None);
    let call = CreateOauthApp {
        p_id: id,
        caller: principal.caller,
        p_organization_id: organization,
        p_integration_type: &body.integration_type,
        p_name: name.as_str(),
        p_client_id: &body.client_id,
        p_slug: slug,
        p_config: &context
            .seal(organization, Row::OauthApp(id), &config)
            .await?,
    };
    match context.call(&call).await? {
        OauthAppCreated::Created { oauth_app } => Ok(Response::json(201, &oauth_app)),
        OauthAppCreated::NotAMember => Err(principal.not_a_member()),
        OauthAppCreated::TooMany => Err(ClientError::TooManyApps.into()),
        OauthAppCreated::ClientTaken => Err(ClientError::AppExists.into()),
    }
}

/// `PATCH /api/oauth-apps/:id`: renames an app, or changes its secrets. A new secret is tried first and the former one second, until it is dropped.
pub async fn change(context: &Context<'_>, id: &str) -> Result<Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default, deserialize_with = "json::given")]
        name: Option<String>,
        #[serde(default, deserialize_with = "json::given")]
        client_secret: Option<String>,
        /// Null drops it.
        #[serde(default, deserialize_with = "json::given")]
        fallback_client_secret: Option<()>,
    }
    const EXPECTED: &str = r#"expected {"name"?,"client_secret"?,"fallback_client_secret"?}, at least one of them; a fallback_client_secret of null drops the former secret"#;
    let id = OauthAppId::parse(id)?;
    let caller = context.principal(Scope::ConnectionsWrite).await?.caller;
    let body: Body = context.json(EXPECTED).await?;
    let name = body.name.as_deref().map(Name::parse).transpose()?;
    let name = name.as_ref().map(Name::as_str);
    let secret = body.client_secret.map(Secret::from);
    secret.as_ref().map(secrets::check_secret).transpose()?;
    let drops = body.fallback_client_secret.is_some();
    if name.is_none() && secret.is_none() && !drops {
        return Err(ClientError::Body(EXPECTED).into());
    }
    for _ in 0..ATTEMPTS {
        let find = FindOauthApp { p_id: id, caller };
        let OauthAppFound::Found {
            organization_id,
            config: read,
        } = context.call(&find).await?
        else {
            return Err(UNKNOWN.into());
        };
        let config = match secret.is_some() || drops {
            true => {
                let secret = secret.as_ref();
                let config = changed(context, organization_id, id, &read, secret, drops).await?;
                let row = Row::OauthApp(id);
                Some(context.seal(organization_id, row, &config).await?)
            }
            false => None,
        };
        let call = ChangeOauthApp {
            p_id: id,
            caller,
            p_name: name,
            p_read: config.is_some().then_some(&read),
            p_config: config.as_ref(),
        };
        match context.call(&call).await? {
            OauthAppChanged::Changed { oauth_app } => return Ok(Response::json(200, &oauth_app)),
            OauthAppChanged::Outdated => {}
            OauthAppChanged::Unknown => return Err(UNKNOWN.into()),
        }
    }
    Err(Error::database_answer(
        "change_oauth_app: the secrets changed each time they were read",
    ))
}

/// The secrets after the change. A new secret repairs an app whose secrets do not open: those can be tried no more.
async fn changed(
    context: &Context<'_>,
    organization: OrganizationId,
    id: OauthAppId,
    read: &StoredConfig,
    secret: Option<&Secret>,
    drops: bool,
) -> Result<PlainConfig> {
    let opened = context.open(organization, Row::OauthApp(id), read).await?;
    let opened = opened.inspect_err(|unopened| log::warning(&context.request_id, &unopened.detail));
    let stored = opened.ok().as_ref().and_then(secrets::read);
    Ok(match (secret, stored) {
        (Some(secret), Some((former, _))) if !drops && former.expose() != secret.expose() => {
            secrets::config(secret, Some(&former))
        }
        // Repeated, because the first response was lost: the former secret stays.
        (Some(secret), Some((_, fallback))) if !drops => secrets::config(secret, fallback.as_ref()),
        (Some(secret), _) => secrets::config(secret, None),
        (None, Some((secret, _))) => secrets::config(&secret, None),
        (None, None) => return Err(ClientError::AppUnreadable.into()),
    })
}

/// `DELETE /api/oauth-apps/:id`
pub async fn remove(context: &Context<'_>, id: &str) -> Result<Response> {
    let call = DeleteOauthApp {
        p_id: OauthAppId::parse(id)?,
        caller: context.principal(Scope::ConnectionsWrite).await?.caller,
    };
    match context.call(&call).await? {
        OauthAppDeleted::Deleted => Ok(Response::json(200, &json!({"success": true}))),
        OauthAppDeleted::InUse {
            connections,
            grants,
        } => Err(ClientError::AppInUse(in_use(connections, grants)).into()),
        OauthAppDeleted::Unknown => Err(UNKNOWN.into()),
    }
}

fn in_use(connections: u64, grants: u64) -> String {
    format!(
        "this OAuth app is in use (connections: {connections}; grants that are not stored or not revoked yet: {grants}); disconnect the connections, or reconnect them with another app"
    )
}

fn organization_of(principal: &Principal, named: Option<OrganizationId>) -> Result<OrganizationId> {
    let organization = named.or(principal.organization);
    organization.ok_or_else(|| {
        let expected = "organization_id is required with a service key of all organizations";
        ClientError::Invalid(expected).into()
    })
}
