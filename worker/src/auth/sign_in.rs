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
    code: Option<String>,
    #[serde(default, deserialize_with = "json::given")]
    token_hash: Option<String>,
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
    let expected = r#"expected {"email", "password"}, {"email", "code"}, {"email", "token_hash"}, {"access_token", "refresh_token"?} or {"refresh": true}"#;
    let body: Body = context.json(expected).await?;
    let (project, client) = (&context.settings.supabase, &head.address);
    let given = (
        body.email,
        body.password,
        body.code,
        body.token_hash,
        body.access_token,
        body.refresh_token,
        body.refresh,
    );
    let (access, refresh) = match given {
        (Some(email), Some(password), None, None, None, None, None) => {
            let request = supabase::password_request(project, &email, &password.into(), client);
            by_email(context, &email, &request).await?
        }
        (Some(email), None, Some(code), None, None, None, None) => {
            if !is_code(&code) {
                return Err(ClientError::BadCredentials.into());
            }
            let request = supabase::verify_code_request(project, &email, &code.into(), client);
            by_email(context, &email, &request).await?
        }
        (Some(email), None, None, Some(token_hash), None, None, None) => {
            if !is_token_hash(&token_hash) {
                return Err(ClientError::BadCredentials.into());
            }
            let request = supabase::verify_link_request(project, &token_hash.into(), client);
            by_link(context, &email, &request).await?
        }
        (None, None, None, None, Some(access), refresh, None) => {
            (access.into(), refresh.flatten().map(Secret::from))
        }
        (None, None, None, None, None, None, Some(true)) => {
            origin::check_from_cookie(head, &context.settings.app_url, true)?;
            let token = context
                .cookies()?
                .get(cookies::REFRESH)?
                .ok_or(ClientError::Unauthorized)?;
            let request = supabase::refresh_request(project, &token.to_owned().into(), client);
            renew(context, &request).await?
        }
        _ => return Err(ClientError::Body(expected).into()),
    };
    let (user, cookies) = session(context, &access, refresh.as_ref()).await?;
    Ok(Response::json(200, &described(&user)).with_cookies(cookies))
}

/// Supabase Auth's codes have six to ten digits.
fn is_code(text: &str) -> bool {
    (6..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Supabase Auth's are a hash in hex, with or without a prefix.
fn is_token_hash(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// Returns the user and the cookies of a new session.
pub async fn session(
    context: &Context<'_>,
    access: &Secret,
    refresh: Option<&Secret>,
) -> Result<(User, Vec<String>)> {
    let user = verify::verify(context.settings, access.expose()).await?;
    let lifetime = user.expires_at.saturating_sub(host::now_seconds());
    let mut cookies = vec![cookie(cookies::SESSION, access, lifetime.max(1))?];
    if let Some(token) = refresh {
        cookies.push(cookie(cookies::REFRESH, token, REFRESH_SECONDS)?);
    }
    Ok((user, cookies))
}

/// Counts an attempt to sign in to this account, or to be sent a code, unless this account or this client has had too many.
pub async fn admit(context: &Context<'_>, email: &str) -> Result<()> {
    let settings = context.settings;
    let call = AdmitSignIn {
        p_account: &settings.subject_key.account(email),
        p_address: &settings.subject_key.address(&context.incoming.head.address),
    };
    match context.call(&call).await? {
        Admission::TooMany { seconds } => Err(ClientError::TooManySignIns { seconds }.into()),
        _ => Ok(()),
    }
}

/// Tries a password or a code. An unknown account gets the same response.
async fn by_email(
    context: &Context<'_>,
    email: &str,
    request: &HttpRequest,
) -> Result<(Secret, Option<Secret>)> {
    admit(context, email).await?;
    let tokens = tokens(request).await?;
    forgive(context, email).await;
    Ok(tokens)
}

/// Tries the token of a link. It is a hash of the address and a code, so whoever guesses tokens guesses codes: a try counts for the account that
/// the link names, and the token of another account signs nobody in.
async fn by_link(
    context: &Context<'_>,
    email: &str,
    request: &HttpRequest,
) -> Result<(Secret, Option<Secret>)> {
    admit(context, email).await?;
    let (access, refresh) = tokens(request).await?;
    let user = verify::verify(context.settings, access.expose()).await?;
    let is_its_own = |own: &str| own.eq_ignore_ascii_case(email);
    if !user.email.as_deref().is_some_and(is_its_own) {
        end(context, access.expose()).await;
        return Err(ClientError::BadCredentials.into());
    }
    forgive(context, email).await;
    Ok((access, refresh))
}

async fn forgive(context: &Context<'_>, email: &str) {
    let settings = context.settings;
    let call = ForgiveSignIns {
        p_account: &settings.subject_key.account(email),
        p_address: &settings.subject_key.address(&context.incoming.head.address),
    };
    // A user who is who they say is let in even if the count cannot be cleared.
    if let Err(error) = context.call(&call).await {
        let detail = error.detail().unwrap_or_default();
        host::log::warning(
            &context.request_id,
            &format!("sign-ins not forgiven: {detail}"),
        );
    }
}

/// Refreshes a session, or exchanges the code of a sign-in at a provider, unless this client has tried too often.
pub async fn renew(
    context: &Context<'_>,
    request: &HttpRequest,
) -> Result<(Secret, Option<Secret>)> {
    let call = AdmitRenewal {
        p_address: &context
            .settings
            .subject_key
            .address(&context.incoming.head.address),
    };
    if let Admission::TooMany { seconds } = context.call(&call).await? {
        return Err(ClientError::TooManySignIns { seconds }.into());
    }
    tokens(request).await
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

async fn end(context: &Context<'_>, token: &str) {
    let request = supabase::logout_request(&context.settings.supabase, token);
    if !matches!(host::fetch(&request).await, Ok(answer) if matches!(answer.status, 200 | 204)) {
        host::log::warning(
            &context.request_id,
            "Supabase Auth did not confirm the sign-out; the session ends with its token",
        );
    }
}

/// `DELETE /api/session`: deletes the cookies, and ends the session at Supabase Auth if the token is still valid.
pub async fn sign_out(context: &Context<'_>) -> Result<Response> {
    // Signing out is never rate-limited.
    match context.authenticated().await {
        Ok(signed_in) => end(context, &signed_in.token).await,
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
