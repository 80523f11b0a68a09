//! The session: sign in, refresh, show, sign out (`/api/session`).

use crate::auth::jwt::User;
use crate::auth::{cookies, origin, supabase, verify};
use crate::context::Context;
use crate::db::pages::pages;
use crate::db::project::Reader;
use crate::db::{Admission, AdmitRenewal, AdmitSignIn, ForgiveSignIns, lists};
use crate::error::{ClientError, Error, Result};
use crate::host;
use crate::http::{HttpRequest, Response};
use crate::json;
use chrono::DateTime;
use sealed::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

/// How long a browser keeps the refresh token, in seconds: 30 days. Supabase Auth decides how long it works.
const REFRESH_SECONDS: i64 = 30 * 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default, deserialize_with = "json::given")]
    email: Option<String>,
    #[serde(default, deserialize_with = "json::given")]
    password: Option<String>,
    #[serde(default, deserialize_with = "json::given")]
    access_token: Option<String>,
    #[serde(default, deserialize_with = "json::given")]
    refresh_token: Option<Option<String>>,
    #[serde(default, deserialize_with = "json::given")]
    refresh: Option<bool>,
}

/// `POST /api/session`
pub async fn sign_in(context: &Context<'_>) -> Result<Response> {
    let head = &context.incoming.head;
    origin::check_anonymous(head, &context.settings.app_url)?;
    let expected = r#"expected {"email", "password"}, {"access_token", "refresh_token"?} or {"refresh": true}"#;
    let body: Body = context.json(expected).await?;
    let given = (
        body.email,
        body.password,
        body.access_token,
        body.refresh_token,
        body.refresh,
    );
    let (access, refresh) = match given {
        (Some(email), Some(password), None, None, None) => {
            by_password(context, &email, &password.into()).await?
        }
        (None, None, Some(access), refresh, None) => {
            (access.into(), refresh.flatten().map(Secret::from))
        }
        (None, None, None, None, Some(true)) => {
            origin::check_from_cookie(head, &context.settings.app_url, true)?;
            let token = context
                .cookies()?
                .get(cookies::REFRESH)?
                .ok_or(ClientError::Unauthorized)?;
            by_refresh_token(context, &token.to_owned().into()).await?
        }
        _ => return Err(ClientError::Body(expected).into()),
    };
    let user = verify::verify(context.settings, access.expose()).await?;
    let lifetime = user.expires_at.saturating_sub(host::now_seconds());
    let response = Response::json(200, &described(&user)).with_header(
        "set-cookie",
        cookie(cookies::SESSION, &access, lifetime.max(1))?,
    );
    match refresh {
        Some(token) => Ok(response.with_header(
            "set-cookie",
            cookie(cookies::REFRESH, &token, REFRESH_SECONDS)?,
        )),
        None => Ok(response),
    }
}

/// Tries a password, unless this account or this client has had too many attempts. An unknown account gets the same response.
async fn by_password(
    context: &Context<'_>,
    email: &str,
    password: &Secret,
) -> Result<(Secret, Option<Secret>)> {
    let settings = context.settings;
    let client = &context.incoming.head.address;
    let account = settings.subject_key.account(email);
    let address = settings.subject_key.address(client);
    let call = AdmitSignIn {
        p_account: &account,
        p_address: &address,
    };
    if let Admission::TooMany { seconds } = context.call(&call).await? {
        return Err(ClientError::TooManySignIns { seconds }.into());
    }
    let request = supabase::password_request(&settings.supabase, email, password, client);
    let tokens = tokens(&request).await?;
    let call = ForgiveSignIns {
        p_account: &account,
        p_address: &address,
    };
    // A user with the right password is let in even if the count cannot be cleared.
    if let Err(error) = context.call(&call).await {
        let detail = error.detail().unwrap_or_default();
        host::log::warning(
            &context.request_id,
            &format!("sign-ins not forgiven: {detail}"),
        );
    }
    Ok(tokens)
}

/// Refreshes a session, unless this client has tried too often.
async fn by_refresh_token(
    context: &Context<'_>,
    token: &Secret,
) -> Result<(Secret, Option<Secret>)> {
    let settings = context.settings;
    let client = &context.incoming.head.address;
    let call = AdmitRenewal {
        p_address: &settings.subject_key.address(client),
    };
    if let Admission::TooMany { seconds } = context.call(&call).await? {
        return Err(ClientError::TooManySignIns { seconds }.into());
    }
    tokens(&supabase::refresh_request(
        &settings.supabase,
        token,
        client,
    ))
    .await
}

async fn tokens(request: &HttpRequest) -> Result<(Secret, Option<Secret>)> {
    let answer = host::fetch(request)
        .await
        .map_err(|error| Error::no_answer("sign-in", error))?;
    let tokens = supabase::read_tokens(&answer)?;
    Ok((tokens.access_token, Some(tokens.refresh_token)))
}

/// A token that fits a cookie: the characters of a JWT or an opaque token, none of which ends a cookie.
fn cookie(name: &str, token: &Secret, seconds: i64) -> Result<String> {
    let plain = token
        .expose()
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
    if !plain || token.expose().is_empty() {
        return Err(ClientError::Unauthorized.into());
    }
    cookies::set(name, token.expose(), seconds)
}

fn described(user: &User) -> Value {
    let expires_at =
        DateTime::from_timestamp(user.expires_at, 0).map(crate::oauth::token::timestamp);
    json!({"user": {"id": user.id, "email": user.email}, "expires_at": expires_at})
}

/// `GET /api/session`
pub async fn who_am_i(context: &Context<'_>) -> Result<Response> {
    let signed_in = context.signed_in().await?;
    let user = &signed_in.user;
    let project = &context.settings.supabase;
    let reader = Reader::User(signed_in.token);
    let request = |offset| lists::memberships_request(project, &reader, user.id, offset);
    let (pages, has_more) = pages("memberships", request).await?;
    let mut body = described(user);
    body["organizations"] = json!(lists::read_memberships(&pages, user.id)?);
    body["has_more"] = json!(has_more);
    Ok(Response::json(200, &body))
}

/// `DELETE /api/session`: deletes the cookies, and ends the session at Supabase Auth if the token is still valid.
pub async fn sign_out(context: &Context<'_>) -> Result<Response> {
    // Signing out is never rate-limited.
    match context.authenticated().await {
        Ok(signed_in) => {
            let request = supabase::logout_request(&context.settings.supabase, &signed_in.token);
            if !matches!(host::fetch(&request).await, Ok(answer) if matches!(answer.status, 200 | 204))
            {
                host::log::warning(
                    &context.request_id,
                    "Supabase Auth did not confirm the sign-out; the session ends with its token",
                );
            }
        }
        Err(Error::Client(ClientError::Unauthorized)) => {}
        Err(other) => return Err(other),
    }
    let response = Response::json(200, &json!({"success": true}));
    let gone =
        [cookies::SESSION, cookies::REFRESH].map(|name| ("set-cookie", cookies::clear(name)));
    Ok(Response {
        headers: gone.into(),
        ..response
    })
}
