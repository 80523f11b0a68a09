//! Signing in at one of the project's OAuth providers. Supabase Auth is the client of the provider; to Supabase Auth the worker proves with PKCE
//! that the browser that comes back is the one that left.

use crate::auth::{cookies, origin, sign_in, supabase};
use crate::context::Context;
use crate::error::{ClientError, Result};
use crate::host::{self, random_bytes};
use crate::http::Response;
use crate::http::url::{parse_return_path, return_path, with_parameter};
use crate::random::{RandomToken, sha256_base64url};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;

/// How long a sign-in may take, in seconds. Supabase Auth's own flow lives for five minutes.
const SIGN_IN_SECONDS: i64 = 600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    provider: String,
    return_to: Option<String>,
}

/// `POST /api/session/authorize`
pub async fn authorize(context: &Context<'_>) -> Result<Response> {
    origin::check_anonymous(&context.incoming.head, &context.settings.app_url)?;
    let body: Body = context
        .json(r#"expected {"provider", "return_to"?}"#)
        .await?;
    if !supabase::is_provider(&body.provider) {
        return Err(
            ClientError::Invalid("provider must be one of GET /api/session/methods").into(),
        );
    }
    let path = return_path(body.return_to.as_deref())?;
    let verifier = RandomToken::from_bytes(random_bytes()?);
    let callback = format!("{}/api/session/callback", context.settings.app_url);
    let challenge = sha256_base64url(verifier.expose());
    let project = &context.settings.supabase;
    let url = supabase::sign_in_url(project, &body.provider, &callback, &challenge);
    let value = format!(
        "{}.{}",
        verifier.expose(),
        BASE64_URL_SAFE_NO_PAD.encode(path)
    );
    Ok(
        Response::json(200, &json!({"authorization_url": url})).with_header(
            "set-cookie",
            cookies::set(cookies::SIGN_IN, &value, SIGN_IN_SECONDS)?,
        ),
    )
}

/// `GET /api/session/callback`: the browser goes on to where it was, signed in or with `sign_in=failed`.
pub async fn callback(context: &Context<'_>) -> Result<Response> {
    let begun = match context.cookies()?.get(cookies::SIGN_IN)? {
        Some(value) => parse(value),
        None => None,
    };
    let path = begun.as_ref().map_or("/", |begun| begun.path.as_str());
    let (location, cookies) = match finish(context, begun.as_ref()).await {
        Ok(cookies) => (path.to_owned(), cookies),
        Err(error) => {
            let (status, code, _) = error.answer();
            let route = "callback of a sign-in";
            host::log::failure(&context.request_id, route, status, code, error.detail());
            (with_parameter(path, "sign_in", "failed"), Vec::new())
        }
    };
    let response =
        Response::see_other(location).with_header("set-cookie", cookies::clear(cookies::SIGN_IN));
    Ok(response.with_cookies(cookies))
}

struct Begun {
    verifier: RandomToken,
    path: String,
}

fn parse(value: &str) -> Option<Begun> {
    let (verifier, path) = value.split_once('.')?;
    let path = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(path).ok()?).ok()?;
    Some(Begun {
        verifier: RandomToken::parse(verifier)?,
        path: parse_return_path(&path)?.to_owned(),
    })
}

/// Returns the cookies of the new session. Another browser's code fails here: it belongs to another verifier.
async fn finish(context: &Context<'_>, begun: Option<&Begun>) -> Result<Vec<String>> {
    let begun = begun.ok_or(ClientError::UnknownFlow)?;
    let head = &context.incoming.head;
    let code = supabase::callback_code(&head.query).ok_or(ClientError::BadCredentials)?;
    let project = &context.settings.supabase;
    let verifier = begun.verifier.expose();
    let request = supabase::exchange_request(project, &code, verifier, &head.address);
    let (access, refresh) = sign_in::renew(context, &request).await?;
    let (_, cookies) = sign_in::session(context, &access, refresh.as_ref()).await?;
    Ok(cookies)
}
