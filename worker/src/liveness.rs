//! Whether the worker runs at all.

use crate::context::Context;
use crate::error::Result;
use crate::http::Response;
use serde_json::json;

/// `GET /health`
pub async fn health(_: &Context<'_>) -> Result<Response> {
    Ok(Response::json(200, &json!({"status": "ok"})))
}
