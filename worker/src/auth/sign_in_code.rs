//! A one-time code by e-mail, with which a user signs in instead of a password.

use crate::auth::{origin, sign_in, supabase};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::host;
use crate::http::Response;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    email: String,
}

/// `POST /api/session/code`: the same answer whether there is such an account or not.
pub async fn send(context: &Context<'_>) -> Result<Response> {
    let head = &context.incoming.head;
    origin::check_anonymous(head, &context.settings.app_url)?;
    let body: Body = context.json(r#"expected {"email"}"#).await?;
    sign_in::admit(context, &body.email).await?;
    let project = &context.settings.supabase;
    let request = supabase::code_request(project, &body.email, &head.address);
    let answer = host::fetch(&request)
        .await
        .map_err(|error| Error::no_answer("sign-in code", error))?;
    supabase::read_code_sent(&answer)?;
    if answer.status == 429 {
        let detail = "Supabase Auth's limit of e-mails was reached, so a sign-in code was not sent";
        host::log::warning(&context.request_id, detail);
    }
    Ok(Response::json(200, &json!({"success": true})))
}
