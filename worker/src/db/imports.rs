//! Imports: a program stores a grant, or other credentials, that it already has.

use crate::db::call::Call;
use crate::ids::{IntegrationId, OrganizationId, ServiceKeyId};
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};

/// Counts an import, before the provider is asked.
#[derive(Serialize)]
pub struct AdmitImport<'a> {
    pub p_service_key: ServiceKeyId,
    pub p_organization_id: OrganizationId,
    pub p_integration_type: &'a str,
}

/// The outcome of [`AdmitImport`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportAdmitted {
    Admitted {
        /// The time (RFC 3339).
        at: String,
    },
    /// The key acts for another organization, or is no longer valid.
    ForeignOrganization,
    /// The provider accepts no requests of this type for so many seconds.
    Paused { seconds: u32 },
    /// The key may import again after so many seconds.
    TooMany { seconds: u32 },
}

impl Call for AdmitImport<'_> {
    const NAME: &'static str = "admit_import";
    type Outcome = ImportAdmitted;
}

/// Stores an imported connection.
#[derive(Serialize)]
pub struct ImportConnection<'a> {
    /// The row's id, which the sealed values are bound to.
    pub p_id: IntegrationId,
    pub p_service_key: ServiceKeyId,
    pub p_organization_id: OrganizationId,
    pub p_integration_type: &'a str,
    /// The account at the provider, as the provider names it.
    pub p_external_account_id: &'a str,
    pub p_name: &'a str,
    /// The config, sealed.
    pub p_config: &'a StoredConfig,
    /// When the import was admitted (RFC 3339).
    pub p_granted_at: &'a str,
    /// Whether the account's row, if there is one, gets these credentials.
    pub p_replace: bool,
    /// Whether it is a grant: the row's earlier one may still exist.
    pub p_is_grant: bool,
    /// The backend's own id of its user, if any.
    pub p_external_user_id: Option<&'a str>,
    /// The request's id, for the event.
    pub p_request_id: &'a str,
}

/// The outcome of [`ImportConnection`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imported {
    Created,
    /// The account's existing row.
    Updated,
    /// The account has a row, which is not to be replaced.
    AlreadyConnected,
    /// The account's row has a grant of an organization's own app, and is not touched.
    OwnOauthApp,
    /// The account has another row; nothing was written. Seal for that row's id and repeat.
    Exists {
        id: IntegrationId,
    },
    /// The key acts for another organization, or is no longer valid.
    ForeignOrganization,
    /// The row has newer credentials.
    Outdated,
    /// A refresh of the row is in progress.
    Refreshing,
    /// A grant of the account is queued for revocation.
    Revoking,
    /// A repeated call, whose row was deleted meanwhile.
    Unknown,
}

impl Call for ImportConnection<'_> {
    const NAME: &'static str = "import_connection";
    type Outcome = Imported;
}
