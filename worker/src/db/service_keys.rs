//! Service keys: made, listed, revoked, and looked up when a program presents one.

use crate::auth::service_key::Scope;
use crate::db::call::Call;
use crate::ids::{IntegrationId, OrganizationId, ServiceKeyId, UserId};
use serde::{Deserialize, Serialize};

/// A service key, without what opens anything.
#[derive(Debug, Deserialize, Serialize)]
pub struct ServiceKeyRow {
    id: ServiceKeyId,
    organization_id: Option<OrganizationId>,
    name: String,
    prefix: String,
    scopes: Vec<Scope>,
    created_by: Option<UserId>,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
}

/// An owner makes a key.
#[derive(Serialize)]
pub struct CreateServiceKey<'a> {
    pub p_user_id: UserId,
    /// The organization that it acts for.
    pub p_organization_id: OrganizationId,
    /// What people call it.
    pub p_name: &'a str,
    pub p_prefix: &'a str,
    pub p_hash: &'a str,
    pub p_scopes: &'a [Scope],
    /// When it expires (RFC 3339).
    pub p_expires_at: Option<&'a str>,
}

/// The outcome of [`CreateServiceKey`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKeyCreated {
    /// It is valid from now on.
    Created { service_key: Box<ServiceKeyRow> },
    /// The user does not belong to the organization.
    NotAMember,
    /// The user does not own the organization.
    NotTheOwner,
    /// The time at which it expires is past.
    Expired,
    /// The organization has the maximum number of valid keys.
    TooMany,
}

impl Call for CreateServiceKey<'_> {
    const NAME: &'static str = "create_service_key";
    type Outcome = ServiceKeyCreated;
}

/// An owner looks at the keys.
#[derive(Serialize)]
pub struct ListServiceKeys {
    pub p_user_id: UserId,
    pub p_organization_id: OrganizationId,
}

/// The outcome of [`ListServiceKeys`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKeysListed {
    /// The newest first.
    Listed { service_keys: Vec<ServiceKeyRow> },
    /// The user does not belong to the organization.
    NotAMember,
    /// The user does not own the organization.
    NotTheOwner,
}

impl Call for ListServiceKeys {
    const NAME: &'static str = "list_service_keys";
    type Outcome = ServiceKeysListed;
}

/// An owner revokes a key.
#[derive(Serialize)]
pub struct RevokeServiceKey {
    pub p_user_id: UserId,
    pub p_id: ServiceKeyId,
}

/// The outcome of [`RevokeServiceKey`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKeyRevoked {
    /// It is not valid any more.
    Revoked { service_key: Box<ServiceKeyRow> },
    /// Not found, or the user does not own its organization.
    Unknown,
}

impl Call for RevokeServiceKey {
    const NAME: &'static str = "revoke_service_key";
    type Outcome = ServiceKeyRevoked;
}

/// A program presents a key.
#[derive(Serialize)]
pub struct AuthenticateServiceKey<'a> {
    pub p_hash: &'a str,
    /// What it is to do.
    pub p_scope: Scope,
}

/// The outcome of [`AuthenticateServiceKey`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKeyAuthenticated {
    Authenticated {
        id: ServiceKeyId,
        /// The organization that it acts for. None: all.
        organization_id: Option<OrganizationId>,
    },
    /// Not found, revoked or expired.
    Unknown,
    /// It may do other things.
    MissingScope,
    /// It was used too often.
    TooMany {
        /// The next request may come in so many seconds.
        seconds: u32,
    },
}

impl Call for AuthenticateServiceKey<'_> {
    const NAME: &'static str = "authenticate_service_key";
    type Outcome = ServiceKeyAuthenticated;
}

/// A program looks for the integration of a type.
#[derive(Serialize)]
pub struct FindIntegrationOfType<'a> {
    pub p_service_key: ServiceKeyId,
    pub p_organization_id: OrganizationId,
    pub p_integration_type: &'a str,
}

/// The outcome of [`FindIntegrationOfType`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntegrationOfType {
    Found {
        id: IntegrationId,
    },
    /// There are several.
    Several,
    /// There is none, or the key may not act for the organization.
    Unknown,
}

impl Call for FindIntegrationOfType<'_> {
    const NAME: &'static str = "find_integration_of_type";
    type Outcome = IntegrationOfType;
}
