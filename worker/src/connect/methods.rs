//! The offered providers.

use crate::context::Context;
use crate::error::Result;
use crate::http::Response;
use crate::offer::Offer;
use catalogue::{Auth, Field, Provider};
use serde::Serialize;
use serde_json::json;

/// `GET /api/providers`
pub async fn list(context: &Context<'_>) -> Result<Response> {
    let offered = context.settings.offers.iter().map(Offer::provider);
    let list: Vec<_> = offered.map(ShownProvider::of).collect();
    Ok(Response::json(200, &json!({"providers": list})))
}

#[derive(Serialize)]
pub struct ShownProvider<'a> {
    integration_type: &'a str,
    name: &'a str,
    auth: Auth,
    #[serde(skip_serializing_if = "<[Field]>::is_empty")]
    fields: &'a [Field],
}

impl<'a> ShownProvider<'a> {
    pub fn of(provider: &'a Provider) -> Self {
        Self {
            integration_type: &provider.kind,
            name: &provider.name,
            auth: provider.auth,
            fields: &provider.fields,
        }
    }
}
