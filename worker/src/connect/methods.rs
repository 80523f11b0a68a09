//! The offered providers.

use crate::context::Context;
use crate::error::Result;
use crate::http::Response;
use crate::offer::Offer;
use catalogue::{Auth, Field};
use serde::Serialize;
use serde_json::json;

/// `GET /api/providers`
pub async fn list(context: &Context<'_>) -> Result<Response> {
    #[derive(Serialize)]
    struct Shown<'a> {
        integration_type: &'a str,
        name: &'a str,
        auth: Auth,
        #[serde(skip_serializing_if = "<[Field]>::is_empty")]
        fields: &'a [Field],
    }
    let offered = context.settings.offers.iter().map(Offer::provider);
    let shown = offered.map(|provider| Shown {
        integration_type: &provider.kind,
        name: &provider.name,
        auth: provider.auth,
        fields: &provider.fields,
    });
    let list: Vec<_> = shown.collect();
    Ok(Response::json(200, &json!({"providers": list})))
}
