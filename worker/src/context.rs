//! What every handler and every job has at hand.

use crate::auth::cookies::Cookies;
use crate::auth::jwt::User;
use crate::auth::service_key::{Scope, ServiceKey};
use crate::auth::{origin, presented, verify};
use crate::db::call::{self, Call};
use crate::db::{Admission, AdmitWrite, AuthenticateServiceKey, ServiceKeyAuthenticated};
use crate::error::{ClientError, Error, Result};
use crate::host::{self, Incoming};
use crate::http::Response;
use crate::ids::ServiceKeyId;
use crate::json::parse_untrusted;
use crate::random::hex;
use crate::settings::Settings;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::ops::Deref;

/// What every piece of work has, whether a request or the schedule began it.
pub struct Task {
    /// The deployment's settings.
    pub settings: &'static Settings,
    /// The id that the client, the events and the log know it by.
    pub request_id: String,
}

/// A request that is being served.
pub struct Context<'a> {
    /// Its task.
    pub task: Task,
    /// The request.
    pub incoming: &'a Incoming,
}

impl Deref for Context<'_> {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

/// A user whose token was verified.
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// The token.
    pub token: String,
}

impl Context<'_> {
    /// The request's cookies.
    pub fn cookies(&self) -> Result<Cookies<'_>> {
        Cookies::parse(&self.incoming.head.cookie)
    }

    /// The signed-in user. A request that may change something counts, and too many of them are refused.
    pub async fn signed_in(&self) -> Result<SignedIn> {
        let signed_in = self.authenticated().await?;
        if self.incoming.head.method.is_unsafe() {
            let call = AdmitWrite {
                p_user_id: signed_in.user.id,
            };
            if let Admission::TooMany { seconds } = self.call(&call).await? {
                return Err(ClientError::TooManyRequests { seconds }.into());
            }
        }
        Ok(signed_in)
    }

    /// The signed-in user, without the count. A request that may change something must also come from our own page, or carry its token itself.
    pub async fn authenticated(&self) -> Result<SignedIn> {
        let head = &self.incoming.head;
        let presented = presented(head, &self.cookies()?)?;
        if presented.from_cookie && head.method.is_unsafe() {
            origin::check_from_cookie(head, &self.settings.app_url, head.method.has_body())?;
        }
        let user = verify::verify(self.settings, &presented.token).await?;
        Ok(SignedIn {
            user,
            token: presented.token,
        })
    }

    /// The service key of the request, which must have this scope.
    pub async fn service_key(&self, scope: Scope) -> Result<ServiceKeyId> {
        let presented = presented(&self.incoming.head, &self.cookies()?)?;
        let key = ServiceKey::parse(&presented.token).filter(|_| !presented.from_cookie);
        let key = key.ok_or(ClientError::Unauthorized)?;
        let call = AuthenticateServiceKey {
            p_hash: &key.hash(),
            p_scope: scope,
        };
        match self.call(&call).await? {
            ServiceKeyAuthenticated::Authenticated { id } => Ok(id),
            ServiceKeyAuthenticated::Unknown => Err(ClientError::Unauthorized.into()),
            ServiceKeyAuthenticated::MissingScope => Err(ClientError::MissingScope(scope).into()),
            ServiceKeyAuthenticated::TooMany { seconds } => {
                Err(ClientError::TooManyRequests { seconds }.into())
            }
        }
    }

    /// The body as JSON of this shape; `expected` is what the client reads otherwise.
    pub async fn json<T: DeserializeOwned>(&self, expected: &'static str) -> Result<T> {
        if !self.incoming.head.is_json() {
            return Err(ClientError::MediaType.into());
        }
        let body = self.incoming.body().await?;
        parse_untrusted(&body).ok_or(ClientError::Body(expected).into())
    }
}

impl Task {
    /// Calls a function of the database.
    pub async fn call<C: Call>(&self, call: &C) -> Result<C::Outcome> {
        let answer = self.ask(C::NAME, call::body(call)).await?;
        Ok(call::outcome::<C>(&answer)?)
    }

    /// What is the same for all functions, so that there is one copy of it in wasm.
    async fn ask(&self, name: &str, body: String) -> Result<String> {
        let supabase = &self.settings.supabase;
        let request = call::request(&supabase.url, &supabase.service_key, name, body);
        let answer = host::fetch(&request)
            .await
            .map_err(|error| Error::no_answer(name, error))?;
        call::check(name, &answer)?;
        Ok(answer.body)
    }
}

/// 64 random bits. A failing random source is no reason to answer nothing: the id proves nothing.
pub fn request_id() -> String {
    let mut bytes = [0; 8];
    let _ = host::random(&mut bytes);
    hex(&bytes)
}

/// `GET /health`
pub async fn health(_: &Context<'_>) -> Result<Response> {
    Ok(Response::json(200, &json!({"status": "ok"})))
}
