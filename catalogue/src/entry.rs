//! The vocabulary of an entry. It is closed (enums, unknown fields rejected), so a misspelt key is an error and is not ignored.
//! docs/providers.md explains it to authors of entries.

use crate::fields::Field;
use crate::header::HeaderName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One provider, as its documentation describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The integration type, as in paths, in the table and, in upper case, before `_CLIENT_ID`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name that users see.
    pub name: String,
    #[serde(default)]
    pub auth: Auth,
    /// The fields that the user enters, if it is not OAuth. `{name}` in a URL stands for the field's value.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// The headers that carry an API key. `{name}` in their values stands for the field's value.
    #[serde(default)]
    pub key_headers: Headers,
    /// The user and the password for HTTP Basic (RFC 7617), with `{name}` as above.
    #[serde(default)]
    pub basic: Option<Basic>,
    /// Headers that each request to this provider must carry.
    #[serde(default)]
    pub headers: Headers,
    /// The authorization endpoint (RFC 6749, 3.1). `{slug}` in a URL is the setting `<TYPE>_SLUG`.
    #[serde(default)]
    pub authorize_url: String,
    /// Further parameters of the authorization request.
    #[serde(default)]
    pub authorize_parameters: BTreeMap<String, String>,
    /// Empty if they are configured on the app at the provider.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The name of the parameter with the scopes.
    #[serde(default = "scope")]
    pub scope_parameter: String,
    #[serde(default)]
    pub scope_separator: Separator,
    /// Whether the worker sends a PKCE challenge (RFC 7636).
    #[serde(default)]
    pub pkce: Pkce,
    /// The token endpoint (RFC 6749, 3.2).
    #[serde(default)]
    pub token_url: String,
    /// How the client authenticates at the token endpoint (RFC 6749, 2.3.1).
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Further parameters of a client credentials request. `{name}` stands for the field's value.
    #[serde(default)]
    pub token_parameters: BTreeMap<String, String>,
    /// The encoding of requests to the token endpoint.
    #[serde(default)]
    pub token_request_format: Encoding,
    /// The encoding of its responses; `form` if it may answer with a form although JSON is requested.
    #[serde(default = "json")]
    pub token_response_format: Encoding,
    /// Its name for the type of a token that is sent as Bearer.
    #[serde(default = "bearer")]
    pub token_type: String,
    /// A JSON Pointer (RFC 6901) to the tokens in its response, if they are not at the top.
    #[serde(default)]
    pub token_response_path: String,
    /// A JSON Pointer to a member that is `true` in every successful response, for a provider that reports errors with status 200.
    #[serde(default)]
    pub success_flag: Option<String>,
    /// The lifetime in seconds of a token whose response has no `expires_in`.
    #[serde(default)]
    pub default_expires_in: Option<u32>,
    /// Further members of the token response that are stored in the config, in plaintext: the tokens cannot be used without them.
    #[serde(default)]
    pub token_response_metadata: Vec<String>,
    #[serde(default)]
    pub refresh: Refresh,
    /// The provider's own responses to a refresh that mean `invalid_grant` (RFC 6749, 5.2).
    #[serde(default)]
    pub invalid_grant: Vec<RefusedGrant>,
    /// The number of equal refusals, over more than a day after the token's expiry, that end the grant.
    #[serde(default = "refused_tries")]
    pub refused_tries: u32,
    /// The days of `forbidden` after which the user must reconnect.
    #[serde(default = "forbidden_days")]
    pub forbidden_days: u32,
    /// How a token is revoked; none if the provider has no endpoint for it.
    #[serde(default)]
    pub revocation: Option<Revocation>,
    /// What another authorization by the same user does to the first; none if that is not documented.
    #[serde(default)]
    pub second_grant: Option<SecondGrant>,
    /// Whom the rate limits apply to, if that is documented.
    #[serde(default)]
    pub rate_limits: RateLimits,
    /// How the account of a token is found.
    pub identity: Identity,
}

pub type Headers = BTreeMap<HeaderName, String>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// The user authorizes our app at the provider (RFC 6749, 4.1).
    #[default]
    Oauth,
    /// The user enters an API key, which is sent in a header.
    ApiKey,
    /// The user enters a name and a password, or what the provider accepts as such.
    Basic,
    /// The user enters a client of their own, which requests tokens for itself (RFC 6749, 4.4).
    ClientCredentials,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// There is none.
    #[default]
    None,
    /// It stays valid after a refresh.
    Reusable,
    /// Each refresh returns a new one.
    Rotating,
}

/// What HTTP Basic sends as user and as password.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    pub user: String,
    pub password: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// RFC 6749, 3.3.
    #[default]
    Space,
    Comma,
}

/// The PKCE challenge. `plain` is not supported: it would show the verifier to everybody who sees the URL (RFC 9700, 2.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pkce {
    #[default]
    S256,
    /// No challenge, because the provider rejects one. The state and the browser's cookie protect the flow.
    None,
}

/// Client authentication (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// HTTP Basic with form-encoded id and secret.
    #[default]
    ClientSecretBasic,
    /// HTTP Basic without that encoding, for a server that does not decode it.
    ClientSecretBasicRaw,
    /// In the body.
    ClientSecretPost,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// application/x-www-form-urlencoded
    #[default]
    Form,
    /// application/json
    Json,
}

/// A response to a refresh that means `invalid_grant`. Every given member must match.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedGrant {
    /// The status. If left out: 200, or any 4xx except 429.
    #[serde(default)]
    pub status: Option<u16>,
    /// A JSON Pointer (RFC 6901) to the error code.
    #[serde(default = "error_pointer")]
    pub at: String,
    #[serde(default)]
    pub code: Option<String>,
    /// A part of the description (`error_description` or `message`), ignoring case.
    #[serde(default)]
    pub description: Option<String>,
    /// The whole body, if it is plain text.
    #[serde(default)]
    pub text: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    pub style: RevocationStyle,
    /// The address. `{client_id}` in it stands for the client's id.
    pub url: String,
    /// What a revocation ends. If that is not documented, the most: everything that the user authorized.
    #[serde(default)]
    pub ends: Ends,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// The token, and the tokens of the same refresh token.
    Token,
    /// All tokens of the same authorization.
    Grant,
    /// Everything that the user authorized for the app.
    #[default]
    User,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondGrant {
    /// The provider keeps one grant for a user and an app: the first ends, or is the same.
    Replaces,
    /// Both exist, with tokens of their own.
    Separate,
}

/// Whom the provider's rate limits apply to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    /// At the token endpoint.
    #[serde(default)]
    pub token: Option<RateLimit>,
    /// At the API, which gets identity requests and checks.
    #[serde(default)]
    pub api: Option<RateLimit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimit {
    /// The app: all of its users share the limit.
    App,
    /// A single user, token or account.
    User,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    Token,
    Api,
}

/// The form of a revocation request. A refresh token stands for the whole grant (RFC 7009, 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationStyle {
    /// RFC 7009: `token` and `token_type_hint`, encoded and with client authentication as at the token endpoint.
    Rfc7009,
    /// A form with the `token` alone.
    TokenOnly,
    /// The access token as `token`, encoded and with client authentication as at the token endpoint.
    AccessToken,
    /// POST with the access token as Bearer.
    Bearer,
    /// The same, with the access token also as `token` in a form.
    BearerForm,
    /// Supabase: JSON with `client_id`, `client_secret` and `refresh_token`.
    SupabaseJson,
    /// GitHub: DELETE with HTTP Basic and JSON with `access_token`.
    GithubToken,
}

/// The identity request, and where its response names the account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    #[serde(default)]
    pub from: Source,
    /// The form of the identity request. Only a valid token can make it.
    #[serde(default)]
    pub style: IdentityStyle,
    pub url: String,
    /// The address of one account, `{account_id}`, which a check requests instead of the list.
    #[serde(default)]
    pub account_url: Option<String>,
    #[serde(default)]
    pub headers: Headers,
    #[serde(default)]
    pub query: Option<String>,
    #[serde(default)]
    pub list: bool,
    /// JSON Pointers (RFC 6901) into one account. If the user's fields name the account: a text with `{name}` for the field's value.
    pub account: IdAndName,
    /// The keys of the config that hold the account's id and name, in plaintext.
    pub stored_as: IdAndName,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The response of the identity request.
    #[default]
    Request,
    /// The token response.
    TokenResponse,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityStyle {
    /// GET with the access token as Bearer.
    #[default]
    Get,
    /// POST with the access token as Bearer and no body.
    Post,
    /// GraphQL: POST with the access token as Bearer and JSON with the `query`.
    Graphql,
    /// RFC 7662: the token itself, encoded and with client authentication as at the token endpoint.
    Introspection,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdAndName {
    /// Never changes.
    pub id: String,
    /// For users.
    pub name: String,
}

impl Provider {
    /// Whether a revocation ends more than the grant that is revoked.
    pub fn revokes_widely(&self) -> bool {
        let revocation = self.revocation.as_ref();
        revocation.is_some_and(|revocation| revocation.ends == Ends::User)
    }

    /// How many organizations must be paused before the pause covers all integrations of the type. None: it never does, because each has a limit
    /// of its own. At the API, where a customer's own use counts too, one organization is not enough.
    pub fn pauses_after(&self, endpoint: Endpoint) -> Option<u32> {
        let limits = self.rate_limits;
        match (endpoint, self.auth) {
            (_, Auth::ApiKey | Auth::Basic | Auth::ClientCredentials) => None,
            (Endpoint::Token, Auth::Oauth) => needed(limits.token, 1),
            (Endpoint::Api, Auth::Oauth) => needed(limits.api, 2),
        }
    }

    pub fn urls_mut(&mut self) -> impl Iterator<Item = &mut String> {
        [
            &mut self.authorize_url,
            &mut self.token_url,
            &mut self.identity.url,
        ]
        .into_iter()
        .chain(
            self.revocation
                .as_mut()
                .map(|revocation| &mut revocation.url),
        )
        .chain(self.identity.account_url.as_mut())
        .filter(|url| !url.is_empty())
    }
}

fn needed(limit: Option<RateLimit>, of_app: u32) -> Option<u32> {
    match limit {
        Some(RateLimit::App) => Some(of_app),
        Some(RateLimit::User) => None,
        None => Some(3),
    }
}

fn scope() -> String {
    "scope".to_owned()
}

fn json() -> Encoding {
    Encoding::Json
}

fn bearer() -> String {
    "bearer".to_owned()
}

fn error_pointer() -> String {
    "/error".to_owned()
}

fn refused_tries() -> u32 {
    8
}

fn forbidden_days() -> u32 {
    7
}
