//! From method and path to a route. Nothing is looked up, nothing allocated.

use crate::error::{Error, Refusal, Result};
use crate::http::Method;

/// Every route of the worker, with the raw parameter of its path.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Route<'a> {
    /// `GET /`
    Page,
    /// `GET /style.css`
    Style,
    /// `GET /app.js`
    Script,
    /// `GET /health`
    Health,
    /// `GET /api/providers`
    Providers,
    /// `POST /api/session`
    SignIn,
    /// `GET /api/session`
    WhoAmI,
    /// `DELETE /api/session`
    SignOut,
    /// `POST /api/auth/authorize`
    Authorize,
    /// `GET /api/auth/callback[/:type]`; without a type it is the source document's, for supabase.
    Callback(&'a str),
    /// `GET /api/connections/:id`
    Choices(&'a str),
    /// `POST /api/connections/:id`
    Choose(&'a str),
    /// `DELETE /api/connections/:id`
    Discard(&'a str),
    /// `GET /api/integrations`
    List,
    /// `POST /api/integrations`
    Create,
    /// `GET /api/integrations/:id`
    Details(&'a str),
    /// `PATCH /api/integrations/:id`
    Change(&'a str),
    /// `PUT /api/integrations/:id/credentials`
    Replace(&'a str),
    /// `DELETE /api/integrations/:id`
    Disconnect(&'a str),
    /// `POST /api/integrations/:id/refresh`
    Refresh(&'a str),
    /// `POST /api/integrations/:id/check`
    Check(&'a str),
    /// `POST /api/integrations/:id/reconnect`
    Reconnect(&'a str),
    /// `GET /api/integrations/:id/events`
    Events(&'a str),
    /// `GET /api/webhooks`
    Webhooks,
    /// `POST /api/webhooks`
    AddWebhook,
    /// `PATCH /api/webhooks/:id`
    ChangeWebhook(&'a str),
    /// `DELETE /api/webhooks/:id`
    RemoveWebhook(&'a str),
    /// `POST /api/webhooks/:id/secret`
    RotateSecret(&'a str),
    /// `GET /api/webhooks/:id/deliveries`
    Deliveries(&'a str),
    /// `POST /api/webhooks/:id/deliveries/:event_id/replay`: the webhook's id, and the event's.
    Replay(&'a str, &'a str),
}

impl Route<'_> {
    /// The route as the log names it: never with what came in the path.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Page => "GET /",
            Self::Style => "GET /style.css",
            Self::Script => "GET /app.js",
            Self::Health => "GET /health",
            Self::Providers => "GET /api/providers",
            Self::SignIn => "POST /api/session",
            Self::WhoAmI => "GET /api/session",
            Self::SignOut => "DELETE /api/session",
            Self::Authorize => "POST /api/auth/authorize",
            Self::Callback(_) => "GET /api/auth/callback/:type",
            Self::Choices(_) => "GET /api/connections/:id",
            Self::Choose(_) => "POST /api/connections/:id",
            Self::Discard(_) => "DELETE /api/connections/:id",
            Self::List => "GET /api/integrations",
            Self::Create => "POST /api/integrations",
            Self::Details(_) => "GET /api/integrations/:id",
            Self::Change(_) => "PATCH /api/integrations/:id",
            Self::Replace(_) => "PUT /api/integrations/:id/credentials",
            Self::Disconnect(_) => "DELETE /api/integrations/:id",
            Self::Refresh(_) => "POST /api/integrations/:id/refresh",
            Self::Check(_) => "POST /api/integrations/:id/check",
            Self::Reconnect(_) => "POST /api/integrations/:id/reconnect",
            Self::Events(_) => "GET /api/integrations/:id/events",
            Self::Webhooks => "GET /api/webhooks",
            Self::AddWebhook => "POST /api/webhooks",
            Self::ChangeWebhook(_) => "PATCH /api/webhooks/:id",
            Self::RemoveWebhook(_) => "DELETE /api/webhooks/:id",
            Self::RotateSecret(_) => "POST /api/webhooks/:id/secret",
            Self::Deliveries(_) => "GET /api/webhooks/:id/deliveries",
            Self::Replay(..) => "POST /api/webhooks/:id/deliveries/:event_id/replay",
        }
    }
}

/// Finds the route: 404 for an unknown path, 405 with the Allow header for a known one.
pub fn route(method: Method, path: &str) -> Result<Route<'_>> {
    use Method::{Delete, Get, Patch, Post};
    use Route::*;
    let only = |wanted: Method, allow: &'static str, route| {
        if method == wanted {
            Ok(route)
        } else {
            Err(Error::Caller(Refusal::Method { allow }))
        }
    };
    const GET: &str = "GET, HEAD";
    match path {
        "/" => only(Get, GET, Page),
        "/style.css" => only(Get, GET, Style),
        "/app.js" => only(Get, GET, Script),
        "/health" => only(Get, GET, Health),
        "/api/providers" => only(Get, GET, Providers),
        "/api/session" => match method {
            Get => Ok(WhoAmI),
            Post => Ok(SignIn),
            Delete => Ok(SignOut),
            Patch | Method::Put | Method::Other => Err(Refusal::Method {
                allow: "GET, HEAD, POST, DELETE",
            }
            .into()),
        },
        "/api/auth/authorize" => only(Post, "POST", Authorize),
        "/api/auth/callback" => only(Get, GET, Callback("supabase")),
        "/api/integrations" => match method {
            Post => Ok(Create),
            _ => only(Get, "GET, HEAD, POST", List),
        },
        "/api/webhooks" => match method {
            Get => Ok(Webhooks),
            Post => Ok(AddWebhook),
            _ => Err(Refusal::Method {
                allow: "GET, HEAD, POST",
            }
            .into()),
        },
        _ => {
            if let Some(provider) = last_segment(path, "/api/auth/callback/") {
                only(Get, GET, Callback(provider))
            } else if let Some(rest) = path.strip_prefix("/api/integrations/") {
                of_integration(method, rest)
            } else if let Some(rest) = path.strip_prefix("/api/webhooks/") {
                of_webhook(method, rest)
            } else if let Some(id) = last_segment(path, "/api/connections/") {
                match method {
                    Get => Ok(Choices(id)),
                    Post => Ok(Choose(id)),
                    Delete => Ok(Discard(id)),
                    Patch | Method::Put | Method::Other => Err(Refusal::Method {
                        allow: "GET, HEAD, POST, DELETE",
                    }
                    .into()),
                }
            } else {
                Err(Refusal::UnknownPath.into())
            }
        }
    }
}

/// What follows `/api/integrations/`: an id, and perhaps what is done with it.
fn of_integration(method: Method, rest: &str) -> Result<Route<'_>> {
    use Method::{Delete, Get, Patch, Post, Put};
    let (id, action) = rest
        .split_once('/')
        .map_or((rest, None), |(id, action)| (id, Some(action)));
    if id.is_empty() {
        return Err(Refusal::UnknownPath.into());
    }
    let (route, allow) = match (action, method) {
        (None, Get) => (Some(Route::Details(id)), ""),
        (None, Patch) => (Some(Route::Change(id)), ""),
        (None, Delete) => (Some(Route::Disconnect(id)), ""),
        (None, _) => (None, "GET, HEAD, PATCH, DELETE"),
        (Some("refresh"), Post) => (Some(Route::Refresh(id)), ""),
        (Some("refresh"), _) => (None, "POST"),
        (Some("check"), Post) => (Some(Route::Check(id)), ""),
        (Some("check"), _) => (None, "POST"),
        (Some("reconnect"), Post) => (Some(Route::Reconnect(id)), ""),
        (Some("reconnect"), _) => (None, "POST"),
        (Some("credentials"), Put) => (Some(Route::Replace(id)), ""),
        (Some("credentials"), _) => (None, "PUT"),
        (Some("events"), Get) => (Some(Route::Events(id)), ""),
        (Some("events"), _) => (None, "GET, HEAD"),
        (Some(_), _) => return Err(Refusal::UnknownPath.into()),
    };
    route.ok_or(Error::Caller(Refusal::Method { allow }))
}

/// What follows `/api/webhooks/`.
fn of_webhook(method: Method, rest: &str) -> Result<Route<'_>> {
    use Method::{Delete, Get, Patch, Post};
    let segments: Vec<_> = rest.splitn(5, '/').collect();
    if segments.contains(&"") {
        return Err(Refusal::UnknownPath.into());
    }
    let (route, allow) = match (segments.as_slice(), method) {
        ([id], Patch) => (Some(Route::ChangeWebhook(id)), ""),
        ([id], Delete) => (Some(Route::RemoveWebhook(id)), ""),
        ([_], _) => (None, "PATCH, DELETE"),
        ([id, "secret"], Post) => (Some(Route::RotateSecret(id)), ""),
        ([_, "secret"], _) => (None, "POST"),
        ([id, "deliveries"], Get) => (Some(Route::Deliveries(id)), ""),
        ([_, "deliveries"], _) => (None, "GET, HEAD"),
        ([id, "deliveries", event, "replay"], Post) => (Some(Route::Replay(id, event)), ""),
        ([_, "deliveries", _, "replay"], _) => (None, "POST"),
        _ => return Err(Refusal::UnknownPath.into()),
    };
    route.ok_or(Error::Caller(Refusal::Method { allow }))
}

fn last_segment<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix)
        .filter(|rest| !rest.is_empty() && !rest.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_are_those_of_the_design() {
        assert_eq!(route(Method::Get, "/").unwrap(), Route::Page);
        assert_eq!(
            route(Method::Get, "/api/auth/callback").unwrap(),
            Route::Callback("supabase")
        );
        assert_eq!(
            route(Method::Get, "/api/auth/callback/gitlab").unwrap(),
            Route::Callback("gitlab")
        );
        assert_eq!(
            route(Method::Delete, "/api/integrations/x").unwrap(),
            Route::Disconnect("x")
        );
        assert_eq!(
            route(Method::Post, "/api/connections/x").unwrap(),
            Route::Choose("x")
        );
        assert_eq!(
            route(Method::Patch, "/api/integrations/x").unwrap(),
            Route::Change("x")
        );
        assert_eq!(
            route(Method::Post, "/api/integrations").unwrap(),
            Route::Create
        );
        assert_eq!(
            route(Method::Put, "/api/integrations/x/credentials").unwrap(),
            Route::Replace("x")
        );
        assert_eq!(
            route(Method::Get, "/api/integrations/x/events").unwrap(),
            Route::Events("x")
        );
    }

    #[test]
    fn a_webhook_has_routes_of_its_own() {
        for (method, path, expected) in [
            (Method::Get, "/api/webhooks", Route::Webhooks),
            (Method::Post, "/api/webhooks", Route::AddWebhook),
            (Method::Patch, "/api/webhooks/x", Route::ChangeWebhook("x")),
            (Method::Delete, "/api/webhooks/x", Route::RemoveWebhook("x")),
            (
                Method::Post,
                "/api/webhooks/x/secret",
                Route::RotateSecret("x"),
            ),
            (
                Method::Get,
                "/api/webhooks/x/deliveries",
                Route::Deliveries("x"),
            ),
            (
                Method::Post,
                "/api/webhooks/x/deliveries/y/replay",
                Route::Replay("x", "y"),
            ),
        ] {
            assert_eq!(route(method, path).unwrap(), expected);
        }
    }

    #[test]
    fn a_wrong_method_says_which_are_right() {
        for (method, path, allowed) in [
            (Method::Post, "/", "GET, HEAD"),
            (Method::Get, "/api/auth/authorize", "POST"),
            (
                Method::Post,
                "/api/integrations/x",
                "GET, HEAD, PATCH, DELETE",
            ),
            (Method::Get, "/api/integrations/x/reconnect", "POST"),
            (Method::Patch, "/api/integrations/x/check", "POST"),
            (Method::Delete, "/api/integrations/x/events", "GET, HEAD"),
            (Method::Delete, "/api/integrations", "GET, HEAD, POST"),
            (Method::Post, "/api/integrations/x/credentials", "PUT"),
            (Method::Patch, "/api/session", "GET, HEAD, POST, DELETE"),
            (Method::Delete, "/api/webhooks", "GET, HEAD, POST"),
            (Method::Get, "/api/webhooks/x", "PATCH, DELETE"),
            (Method::Get, "/api/webhooks/x/secret", "POST"),
            (Method::Post, "/api/webhooks/x/deliveries", "GET, HEAD"),
            (Method::Get, "/api/webhooks/x/deliveries/y/replay", "POST"),
            (Method::Other, "/api/session", "GET, HEAD, POST, DELETE"),
        ] {
            match route(method, path) {
                Err(Error::Caller(Refusal::Method { allow })) => {
                    assert_eq!(allow, allowed, "{path}")
                }
                other => panic!("{path}: expected 405, got {other:?}"),
            }
        }
    }

    #[test]
    fn an_unknown_path_is_not_found() {
        for path in [
            "/x",
            "/api",
            "/api/integrations/",
            "/api/integrations/x/y",
            "/api/integrations//events",
            "/api/integrations/x/events/",
            "/api/webhooks/",
            "/api/webhooks//secret",
            "/api/webhooks/x/deliveries/y",
            "/api/webhooks/x/deliveries//replay",
            "/api/webhooks/x/deliveries/y/replay/z",
            "//",
            "/API/integrations",
        ] {
            assert!(
                matches!(
                    route(Method::Get, path),
                    Err(Error::Caller(Refusal::UnknownPath))
                ),
                "{path}"
            );
        }
    }
}
