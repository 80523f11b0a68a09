//! The routes of the worker: one table of method, path and handler. `/` and its files are static assets (`worker/public/`).

use crate::error::{ClientError, Error, Result};
use crate::http::Method;
#[cfg(target_arch = "wasm32")]
use futures_util::future::{FutureExt, LocalBoxFuture, TryFutureExt};

/// Defines [`Route`], its table and what each route calls. `Allow` lists the methods of a path in the order of their lines.
macro_rules! routes {
    ($($name:ident: $method:ident $path:literal => $($handler:ident)::+ ($($parameter:ident),*);)*) => {
        /// A route, named by what its handler does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Route { $($name),* }

        const TABLE: &[(Method, &str, Route)] = &[$((Method::$method, $path, Route::$name)),*];

        #[cfg(target_arch = "wasm32")]
        impl Matched<'_> {
            pub async fn serve(
                self,
                context: &crate::context::Context<'_>,
            ) -> Result<crate::host::JsResponse> {
                // Behind a pointer: the compiler would make one function of all handlers, too large for the runtime to optimize.
                let handler: LocalBoxFuture<'_, Result<crate::host::JsResponse>> = match self.route {
                    $(Route::$name => {
                        let [$($parameter,)* ..] = self.parameters;
                        crate::$($handler)::+(context $(, $parameter)*).map_ok(Into::into).boxed_local()
                    })*
                };
                handler.await
            }
        }
    };
}

routes! {
    Health: Get "/health" => liveness::health();
    Providers: Get "/api/providers" => connect::methods::list();
    WhoAmI: Get "/api/session" => auth::sign_in::who_am_i();
    SignIn: Post "/api/session" => auth::sign_in::sign_in();
    SignOut: Delete "/api/session" => auth::sign_in::sign_out();
    SignInMethods: Get "/api/session/methods" => auth::sign_in_methods::list();
    SendSignInCode: Post "/api/session/code" => auth::sign_in_code::send();
    BeginSignIn: Post "/api/session/authorize" => auth::sign_in_redirect::authorize();
    FinishSignIn: Get "/api/session/callback" => auth::sign_in_redirect::callback();
    Authorize: Post "/api/auth/authorize" => connect::start::authorize();
    CallbackOfSupabase: Get "/api/auth/callback" => connect::callback::callback_of_supabase();
    Callback: Get "/api/auth/callback/:type" => connect::callback::callback(kind);
    Accounts: Get "/api/connections/:id" => connect::account_selection::list(id);
    SelectAccount: Post "/api/connections/:id" => connect::account_selection::select(id);
    DiscardConnection: Delete "/api/connections/:id" => connect::account_selection::discard(id);
    List: Get "/api/integrations" => integrations::list::list();
    Create: Post "/api/integrations" => connect::credential_connect::create();
    Import: Post "/api/integrations/import" => service::import::import();
    Details: Get "/api/integrations/:id" => integrations::detail::details(id);
    Change: Patch "/api/integrations/:id" => integrations::detail::change(id);
    Disconnect: Delete "/api/integrations/:id" => integrations::disconnect::disconnect(id);
    ReplaceCredentials: Put "/api/integrations/:id/credentials" => connect::credential_connect::replace(id);
    Refresh: Post "/api/integrations/:id/refresh" => refresh::on_demand::refresh(id);
    Check: Post "/api/integrations/:id/check" => health::check::check(id);
    Reconnect: Post "/api/integrations/:id/reconnect" => integrations::detail::reconnect(id);
    Events: Get "/api/integrations/:id/events" => integrations::events::events(id);
    ExportEvents: Get "/api/events" => integrations::event_export::export();
    Credential: Post "/api/integrations/:id/credential" => service::credential::of_integration(id);
    CredentialOfType: Post "/api/organizations/:id/integrations/:type/credential" => service::credential::of_type(id, kind);
    CreateConnectSession: Post "/api/connect-sessions" => service::connect_sessions::create();
    ConnectSession: Get "/api/connect-sessions/:id" => service::connect_sessions::show(id);
    CompleteConnectSession: Post "/api/connect-sessions/:id/complete" => service::connect_sessions::complete(id);
    OpenConnectSession: Post "/api/connect" => connect::session::open();
    OpenedConnectSession: Get "/api/connect/:id" => connect::session::show(id);
    AuthorizeInSession: Post "/api/connect/:id/authorize" => connect::session::authorize(id);
    EnterCredentialsInSession: Post "/api/connect/:id/credentials" => connect::session::enter_credentials(id);
    SelectAccountInSession: Post "/api/connect/:id/account" => connect::session::select_account(id);
    CancelConnectSession: Post "/api/connect/:id/cancel" => connect::session::cancel(id);
    ServiceKeys: Get "/api/service-keys" => service::keys::list();
    CreateServiceKey: Post "/api/service-keys" => service::keys::create();
    RevokeServiceKey: Delete "/api/service-keys/:id" => service::keys::revoke(id);
    OauthApps: Get "/api/oauth-apps" => oauth_apps::manage::list();
    AddOauthApp: Post "/api/oauth-apps" => oauth_apps::manage::add();
    ChangeOauthApp: Patch "/api/oauth-apps/:id" => oauth_apps::manage::change(id);
    RemoveOauthApp: Delete "/api/oauth-apps/:id" => oauth_apps::manage::remove(id);
    ScanNow: Post "/api/integrations/:id/assessments" => findings::assessments::request(id);
    Coverage: Get "/api/integrations/:id/coverage" => findings::coverage::coverage(id);
    Checks: Get "/api/checks" => findings::coverage::catalogue();
    Assessments: Get "/api/assessments" => findings::assessments::list();
    Assessment: Get "/api/assessments/:id" => findings::assessments::one(id);
    Findings: Get "/api/findings" => findings::list::list();
    Finding: Get "/api/findings/:id" => findings::list::one(id);
    FindingHistory: Get "/api/findings/:id/events" => findings::list::history(id);
    Mutes: Get "/api/mutes" => findings::mutes::list();
    AddMute: Post "/api/mutes" => findings::mutes::add();
    EndMute: Delete "/api/mutes/:id" => findings::mutes::end(id);
    Export: Get "/api/export" => findings::download::download();
    Webhooks: Get "/api/webhooks" => webhooks::endpoints::list();
    AddWebhook: Post "/api/webhooks" => webhooks::endpoints::add();
    ChangeWebhook: Patch "/api/webhooks/:id" => webhooks::endpoints::change(id);
    RemoveWebhook: Delete "/api/webhooks/:id" => webhooks::endpoints::remove(id);
    RotateSecret: Post "/api/webhooks/:id/secret" => webhooks::endpoints::rotate(id);
    Deliveries: Get "/api/webhooks/:id/deliveries" => webhooks::endpoints::deliveries(id);
    Replay: Post "/api/webhooks/:id/deliveries/:event_id/replay" => webhooks::endpoints::replay(id, event_id);
}

/// The most that a path has.
const PARAMETERS: usize = 2;

/// A route, and the raw parameters of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'a> {
    pub route: Route,
    method: Method,
    pattern: &'static str,
    /// The parameters in the order of the path; the rest are empty.
    pub parameters: [&'a str; PARAMETERS],
}

impl Matched<'_> {
    /// The route's name in the log, which holds nothing from the path.
    pub fn name(&self) -> String {
        format!("{} {}", self.method.name(), self.pattern)
    }
}

/// Finds the route. An unknown path is 404; a known path with another method is 405, with the Allow header.
pub fn route(method: Method, path: &str) -> Result<Matched<'_>> {
    let mut allow = Vec::new();
    // A path that the table names hides the patterns that it would match too: `/api/integrations/import` is no integration.
    let is_named = TABLE.iter().any(|(_, pattern, _)| *pattern == path);
    for &(allowed, pattern, route) in TABLE {
        if is_named && pattern != path {
            continue;
        }
        let Some(parameters) = parameters(pattern, path) else {
            continue;
        };
        if allowed == method {
            return Ok(Matched {
                route,
                method,
                pattern,
                parameters,
            });
        }
        allow.extend(allowed.allow());
    }
    if allow.is_empty() {
        return Err(ClientError::UnknownPath.into());
    }
    Err(Error::Client(ClientError::Method {
        allow: allow.join(", "),
    }))
}

/// Returns the segments of a path that stand for parameters (`:name`), if all others are equal and none is empty.
fn parameters<'a>(pattern: &str, path: &'a str) -> Option<[&'a str; PARAMETERS]> {
    let mut parameters = [""; PARAMETERS];
    let mut free = parameters.iter_mut();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        if expected.starts_with(':') {
            if segment.is_empty() {
                return None;
            }
            *free.next()? = segment;
        } else if segment != expected {
            return None;
        }
    }
    segments.next().is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: Method, path: &str) -> Matched<'_> {
        route(method, path).unwrap()
    }

    #[test]
    fn finds_a_route_and_its_parameters() {
        for (method, path, route, parameters) in [
            (Method::Get, "/health", Route::Health, ["", ""]),
            (
                Method::Get,
                "/api/auth/callback",
                Route::CallbackOfSupabase,
                ["", ""],
            ),
            (
                Method::Get,
                "/api/auth/callback/gitlab",
                Route::Callback,
                ["gitlab", ""],
            ),
            (Method::Post, "/api/integrations", Route::Create, ["", ""]),
            (
                Method::Delete,
                "/api/integrations/x",
                Route::Disconnect,
                ["x", ""],
            ),
            (
                Method::Put,
                "/api/integrations/x/credentials",
                Route::ReplaceCredentials,
                ["x", ""],
            ),
            (
                Method::Post,
                "/api/webhooks/x/deliveries/y/replay",
                Route::Replay,
                ["x", "y"],
            ),
        ] {
            let found = found(method, path);
            assert_eq!(
                (found.route, found.parameters),
                (route, parameters),
                "{path}"
            );
        }
    }

    #[test]
    fn finds_every_route_of_the_table() {
        for &(method, pattern, expected) in TABLE {
            let path = pattern
                .replace(":event_id", "e")
                .replace(":type", "t")
                .replace(":id", "i");
            let found = found(method, &path);
            assert_eq!((found.route, found.pattern), (expected, pattern));
            assert_eq!(found.name(), format!("{} {pattern}", method.name()));
        }
    }

    #[test]
    fn a_wrong_method_says_which_are_right() {
        for (method, path, allowed) in [
            (Method::Post, "/health", "GET, HEAD"),
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
            (Method::Patch, "/api/integrations/import", "POST"),
            (Method::Post, "/api/integrations/x/credentials", "PUT"),
            (Method::Patch, "/api/session", "GET, HEAD, POST, DELETE"),
            (Method::Get, "/api/integrations/x/assessments", "POST"),
            (Method::Post, "/api/findings/x", "GET, HEAD"),
            (Method::Get, "/api/mutes/x", "DELETE"),
            (Method::Delete, "/api/webhooks", "GET, HEAD, POST"),
            (Method::Get, "/api/webhooks/x", "PATCH, DELETE"),
            (Method::Get, "/api/webhooks/x/secret", "POST"),
            (Method::Post, "/api/webhooks/x/deliveries", "GET, HEAD"),
            (Method::Get, "/api/webhooks/x/deliveries/y/replay", "POST"),
            (Method::Other, "/api/session", "GET, HEAD, POST, DELETE"),
        ] {
            match route(method, path) {
                Err(Error::Client(ClientError::Method { allow })) => {
                    assert_eq!(allow, allowed, "{path}")
                }
                other => panic!("{path}: expected 405, got {other:?}"),
            }
        }
    }

    #[test]
    fn docs_openapi_yaml_describes_every_route_and_no_other() {
        let document = include_str!("../../docs/openapi.yaml");
        let (mut path, mut described) = (String::new(), Vec::new());
        // A path is indented by two spaces, a method by four.
        for line in document.lines().take_while(|line| *line != "components:") {
            let name = line.trim_start().trim_end_matches(':');
            match line.len() - line.trim_start().len() {
                2 if name.starts_with('/') => {
                    path = name.replace('{', ":").replace('}', "");
                }
                4 if matches!(name, "get" | "post" | "put" | "patch" | "delete") => {
                    described.push(format!("{} {path}", name.to_ascii_uppercase()));
                }
                _ => {}
            }
        }
        let mut routes: Vec<_> = TABLE
            .iter()
            .map(|(method, pattern, _)| format!("{} {pattern}", method.name()))
            .collect();
        described.sort_unstable();
        routes.sort_unstable();
        assert_eq!(described, routes);
    }

    #[test]
    fn docs_api_md_describes_every_route_and_no_other() {
        let page = include_str!("../../docs/api.md");
        let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
        let mut described: Vec<_> = headings.map(|heading| heading.replace('`', "")).collect();
        let mut routes: Vec<_> = TABLE
            .iter()
            .map(|(method, pattern, _)| format!("{} {pattern}", method.name()))
            .collect();
        described.sort_unstable();
        routes.sort_unstable();
        assert_eq!(described, routes);
    }

    #[test]
    fn an_unknown_path_is_not_found() {
        for path in [
            "/",
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
                    Err(Error::Client(ClientError::UnknownPath))
                ),
                "{path}"
            );
        }
    }
}
