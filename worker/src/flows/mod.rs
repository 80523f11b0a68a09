//! The routes' doing: each flow strings the pure steps together with the host's effects between them.

mod accounts;
mod authorize;
mod callback;
mod check;
mod choice;
mod clean;
mod completion;
mod credential;
mod delivery;
mod direct;
mod events;
mod integrations;
mod pause;
pub mod recovery;
mod redemption;
mod refresh;
mod revocations;
mod rounds;
pub mod schedule;
mod session;
mod sweep;
mod webhooks;

use crate::error::{Error, Refusal, Result};
use crate::host::{self, Incoming, Reply, log};
use crate::http::{Head, Media, Outbound, Response};
use crate::json::{Read, parse_once};
use crate::offer::Offer;
use crate::page;
use crate::providers::{Auth, Field};
use crate::random::hex;
use crate::router::{Route, route};
use crate::session::cookies::Cookies;
use crate::session::jwt::User;
use crate::session::{origin, presented};
use crate::settings::{SettingError, Settings};
use crate::supabase::functions::{self, Admission, AdmitWrite, Call};
use crate::supabase::rest::{self, Next, Paging};
use chrono::{DateTime, Utc};
use sealed::RandomError;
use serde::Serialize;
use serde_json::{Value, json};
use std::ops::Deref;
use uuid::Uuid;

/// What every piece of work has, whether a request or the clock has begun it.
struct Task {
    settings: &'static Settings,
    /// What the caller, the events and the log know it by.
    request_id: String,
}

/// A request on its way.
struct Context<'a> {
    task: Task,
    incoming: &'a Incoming,
}

impl Deref for Context<'_> {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

/// A user whose token was verified.
struct SignedIn {
    user: User,
    token: String,
}

/// Begins a request, given its target alone: answers at once what needs nothing from anybody, a fixed body or a refusal. Any other
/// request comes back as the settings with which to `serve` it.
pub fn begin(
    settings: &'static Result<Settings, SettingError>,
    target: &Head,
) -> Result<&'static Settings, Reply> {
    let refused = |route: &str, error: &Error| failed(route, error, request_id(), false);
    let found = route(target.method, &target.path).map_err(|error| refused("", &error))?;
    let settings = settings.as_ref().map_err(|SettingError(detail)| {
        let detail = detail.clone();
        refused(found.name(), &Error::Us { detail })
    })?;
    let (media, body) = match found {
        Route::Health => (Media::Json, r#"{"status":"ok"}"#),
        Route::Page => (Media::Html, page::INDEX),
        Route::Style => (Media::Css, page::STYLE),
        Route::Script => (Media::Script, page::SCRIPT),
        _ => return Ok(settings),
    };
    Err(Response::fixed(media, body).into())
}

/// Serves a request that `begin` has not answered, whatever becomes of it.
pub async fn serve(settings: &'static Settings, incoming: Incoming) -> Reply {
    let head = &incoming.head;
    let task = Task {
        settings,
        request_id: request_id(),
    };
    let context = Context {
        task,
        incoming: &incoming,
    };
    let found = match route(head.method, &head.path) {
        Ok(found) => found,
        Err(error) => return failed("", &error, context.task.request_id, false),
    };
    let reply = match found {
        Route::List => integrations::list(&context).await,
        other => context.dispatch(other).await.map(Reply::from),
    };
    let is_page = matches!(found, Route::Callback(_)) && head.wants_html();
    reply.unwrap_or_else(|error| failed(found.name(), &error, context.task.request_id, is_page))
}

fn failed(route: &str, error: &Error, request_id: String, is_page: bool) -> Reply {
    let (status, code, _) = error.answer();
    log::failure(&request_id, route, status, code, error.detail());
    let response = if is_page {
        page::failure(error, &request_id)
    } else {
        Response::error(error, &request_id)
    };
    response.into()
}

/// 64 random bits. A failing random source is no reason to answer nothing: the id proves nothing.
fn request_id() -> String {
    let mut bytes = [0; 8];
    let _ = host::random(&mut bytes);
    hex(&bytes)
}

impl Context<'_> {
    async fn dispatch(&self, route: Route<'_>) -> Result<Response> {
        match route {
            Route::Providers => Ok(self.providers()),
            Route::SignIn => session::sign_in(self).await,
            Route::WhoAmI => session::who_am_i(self).await,
            Route::SignOut => session::sign_out(self).await,
            Route::Authorize => authorize::authorize(self).await,
            Route::Callback(kind) => callback::callback(self, kind).await,
            Route::Choices(id) => choice::choices(self, id).await,
            Route::Choose(id) => choice::choose(self, id).await,
            Route::Discard(id) => choice::discard(self, id).await,
            Route::Create => direct::create(self).await,
            Route::Details(id) => accounts::details(self, id).await,
            Route::Change(id) => accounts::change(self, id).await,
            Route::Replace(id) => direct::replace(self, id).await,
            Route::Disconnect(id) => integrations::disconnect(self, id).await,
            Route::Refresh(id) => refresh::refresh(self, id).await,
            Route::Check(id) => check::check(self, id).await,
            Route::Reconnect(id) => accounts::reconnect(self, id).await,
            Route::Events(id) => events::events(self, id).await,
            Route::Webhooks => webhooks::list(self).await,
            Route::AddWebhook => webhooks::add(self).await,
            Route::ChangeWebhook(id) => webhooks::change(self, id).await,
            Route::RemoveWebhook(id) => webhooks::remove(self, id).await,
            Route::RotateSecret(id) => webhooks::rotate(self, id).await,
            Route::Deliveries(id) => webhooks::deliveries(self, id).await,
            Route::Replay(id, event) => webhooks::replay(self, id, event).await,
            Route::Page | Route::Style | Route::Script | Route::Health | Route::List => {
                Err(Refusal::UnknownPath.into())
            }
        }
    }

    fn providers(&self) -> Response {
        #[derive(Serialize)]
        struct Shown<'a> {
            integration_type: &'a str,
            name: &'a str,
            auth: Auth,
            #[serde(skip_serializing_if = "<[Field]>::is_empty")]
            fields: &'a [Field],
        }
        let offered = self.settings.offers.iter().map(Offer::provider);
        let shown = offered.map(|provider| Shown {
            integration_type: &provider.kind,
            name: &provider.name,
            auth: provider.auth,
            fields: &provider.fields,
        });
        let list: Vec<_> = shown.collect();
        Response::json(200, &json!({"providers": list}))
    }

    fn cookies(&self) -> Result<Cookies<'_>> {
        Cookies::parse(&self.incoming.head.cookie)
    }

    /// The signed-in user; a request that may change something counts, and too many of them are refused.
    async fn signed_in(&self) -> Result<SignedIn> {
        let signed_in = self.authenticated().await?;
        if self.incoming.head.method.is_unsafe() {
            let call = AdmitWrite {
                p_user_id: signed_in.user.id,
            };
            if let Admission::TooMany { seconds } = self.call(&call).await? {
                return Err(Refusal::TooManyRequests { seconds }.into());
            }
        }
        Ok(signed_in)
    }

    /// The same without the count. A request that may change something must also come from our own page, or carry its token itself.
    async fn authenticated(&self) -> Result<SignedIn> {
        let head = &self.incoming.head;
        let presented = presented(head, &self.cookies()?)?;
        if presented.ambient && head.method.is_unsafe() {
            origin::check_ambient(head, &self.settings.app_url, head.method.has_body())?;
        }
        let user = host::keys::verify(self.settings, &presented.token).await?;
        Ok(SignedIn {
            user,
            token: presented.token,
        })
    }

    /// The body as JSON of this shape; `expected` is what the caller is told otherwise.
    async fn json<T: Read>(&self, expected: &'static str) -> Result<T> {
        if !self.incoming.head.is_json() {
            return Err(Refusal::MediaType.into());
        }
        let body = self.incoming.body().await?;
        parse_once(&body).ok_or(Refusal::Body(expected).into())
    }
}

impl Task {
    /// Calls a function of the database.
    async fn call<C: Call>(&self, call: &C) -> Result<C::Outcome> {
        let value = self.ask(C::NAME, functions::body(call)).await?;
        functions::outcome::<C>(value)
    }

    /// What is the same for all functions, so that there is one copy of it.
    async fn ask(&self, name: &str, body: String) -> Result<Value> {
        let request = functions::request(&self.settings.supabase, name, body);
        let answer = host::fetch(&request)
            .await
            .map_err(|error| Error::no_answer(name, error))?;
        functions::read(name, &answer)
    }
}

/// Fetches all pages of a list, with the user's own token, and says whether the list is longer than that.
async fn pages(what: &str, request: impl Fn(usize) -> Outbound) -> Result<(Vec<String>, bool)> {
    let (mut pages, mut paging, mut offset) = (Vec::new(), Paging::default(), 0);
    loop {
        let answer = host::send(&request(offset))
            .await
            .map_err(|error| Error::no_answer(what, error))?;
        let listed = rest::read_list(answer.status(), answer.is_json(), answer.content_range())?;
        if listed.beyond {
            return Ok((pages, false));
        }
        pages.push(answer.read().body);
        match paging.received(listed.rows, listed.count) {
            Next::Page(next) => offset = next,
            Next::End => return Ok((pages, false)),
            Next::TooMany => return Ok((pages, true)),
        }
    }
}

/// The host's clock as a moment.
fn now() -> DateTime<Utc> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds of this epoch"
    )]
    DateTime::from_timestamp_millis(host::now_ms() as i64).unwrap_or_default()
}

/// 32 random bytes, or nothing at all.
fn random_bytes() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    host::random(&mut bytes).map_err(|error: RandomError| Error::Us {
        detail: error.to_string(),
    })?;
    Ok(bytes)
}

/// A random UUID (RFC 9562, version 4).
fn random_uuid() -> Result<Uuid> {
    let bytes = random_bytes()?;
    let (half, _) = bytes.split_at(16);
    Ok(uuid::Builder::from_random_bytes(half.try_into().unwrap_or_default()).into_uuid())
}
