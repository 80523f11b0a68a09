//! Query parameters that several routes have.

use crate::error::{ClientError, Result};
use crate::ids::OrganizationId;

/// `organization_id`, which may be absent, and nothing else.
pub fn organization(query: &str) -> Result<Option<OrganizationId>> {
    let mut organization = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "organization_id" || organization.is_some() {
            return Err(ClientError::Invalid("expected organization_id, once").into());
        }
        organization = Some(OrganizationId::parse(&value)?);
    }
    Ok(organization)
}
