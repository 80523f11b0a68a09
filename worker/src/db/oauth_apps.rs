//! The OAuth apps of organizations: as a grant's client, and as their admins manage them.

use crate::auth::caller::Caller;
use crate::db::call::Call;
use crate::ids::{OauthAppId, OrganizationId};
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};

/// The app that a grant was issued to, or is requested with. None: the deployment's.
#[derive(Clone, Deserialize, Serialize)]
pub struct OauthApp {
    pub id: OauthAppId,
    pub client_id: String,
    /// The part of the provider's URLs that each app configures.
    pub slug: Option<String>,
    /// Its secrets, sealed.
    pub config: StoredConfig,
}

/// The key of what is known about a client, as in the database: the type stands for the deployment's app.
pub fn client_key(kind: &str, app: Option<&OauthApp>) -> String {
    app.map_or_else(|| kind.to_owned(), |app| app.id.to_string())
}

/// An app as the API shows it: without its secrets.
#[derive(Debug, Deserialize, Serialize)]
pub struct OauthAppRow {
    id: OauthAppId,
    organization_id: OrganizationId,
    integration_type: String,
    name: String,
    client_id: String,
    slug: Option<String>,
    /// Whether it has two secrets.
    has_fallback_secret: bool,
    /// How many integrations use it.
    connections: u64,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
pub struct CreateOauthApp<'a> {
    pub p_id: OauthAppId,
    #[serde(flatten)]
    pub caller: Caller,
    pub p_organization_id: OrganizationId,
    pub p_integration_type: &'a str,
    pub p_name: &'a str,
    pub p_client_id: &'a str,
    pub p_slug: Option<&'a str>,
    /// Its secret, sealed.
    pub p_config: &'a StoredConfig,
}

/// The outcome of [`CreateOauthApp`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthAppCreated {
    Created {
        oauth_app: Box<OauthAppRow>,
    },
    NotAMember,
    /// The organization has the maximum number of apps.
    TooMany,
    /// The organization has an app with this client id.
    ClientTaken,
}

impl Call for CreateOauthApp<'_> {
    const NAME: &'static str = "create_oauth_app";
    type Outcome = OauthAppCreated;
}

#[derive(Serialize)]
pub struct ListOauthApps {
    pub p_organization_id: OrganizationId,
    #[serde(flatten)]
    pub caller: Caller,
}

/// The outcome of [`ListOauthApps`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthAppsListed {
    Listed { oauth_apps: Vec<OauthAppRow> },
    NotAMember,
}

impl Call for ListOauthApps {
    const NAME: &'static str = "list_oauth_apps";
    type Outcome = OauthAppsListed;
}

/// Reads an app's sealed secrets for a change of them.
#[derive(Serialize)]
pub struct FindOauthApp {
    pub p_id: OauthAppId,
    #[serde(flatten)]
    pub caller: Caller,
}

/// The outcome of [`FindOauthApp`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthAppFound {
    Found {
        organization_id: OrganizationId,
        config: StoredConfig,
    },
    /// Not found, or the caller may not change it.
    Unknown,
}

impl Call for FindOauthApp {
    const NAME: &'static str = "find_oauth_app";
    type Outcome = OauthAppFound;
}

#[derive(Serialize)]
pub struct ChangeOauthApp<'a> {
    pub p_id: OauthAppId,
    #[serde(flatten)]
    pub caller: Caller,
    /// The new name, if any.
    pub p_name: Option<&'a str>,
    /// The secrets that were read, sealed.
    pub p_read: Option<&'a StoredConfig>,
    /// The secrets that take their place, sealed. None: they stay.
    pub p_config: Option<&'a StoredConfig>,
}

/// The outcome of [`ChangeOauthApp`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthAppChanged {
    Changed {
        oauth_app: Box<OauthAppRow>,
    },
    /// Other secrets are stored by now; nothing was written.
    Outdated,
    Unknown,
}

impl Call for ChangeOauthApp<'_> {
    const NAME: &'static str = "change_oauth_app";
    type Outcome = OauthAppChanged;
}

#[derive(Serialize)]
pub struct DeleteOauthApp {
    pub p_id: OauthAppId,
    #[serde(flatten)]
    pub caller: Caller,
}

/// The outcome of [`DeleteOauthApp`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthAppDeleted {
    Deleted,
    /// Something needs it.
    InUse {
        /// Integrations.
        connections: u64,
        /// Grants that are neither stored nor revoked yet.
        grants: u64,
    },
    Unknown,
}

impl Call for DeleteOauthApp {
    const NAME: &'static str = "delete_oauth_app";
    type Outcome = OauthAppDeleted;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_known_by_its_app_or_else_by_its_type() {
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let app: OauthApp = serde_json::from_value(
            serde_json::json!({"id": id, "client_id": "c", "slug": null, "config": {}}),
        )
        .unwrap();
        assert_eq!(client_key("supabase", Some(&app)), id);
        assert_eq!(client_key("supabase", None), "supabase");
    }
}
