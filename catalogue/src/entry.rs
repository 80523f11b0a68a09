//! The vocabulary: what an entry of the catalogue can say. It is closed (enums, unknown fields refused), so a misspelt quirk is an
//! error and not ignored. docs/providers.md explains it to those who write entries.

use crate::fields::Field;
use crate::header::HeaderName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One provider, as its documentation describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The integration type: what stands in the path, in the table, and (upper-case) before `_CLIENT_ID`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name for people.
    pub name: String,
    /// What an account is connected with.
    #[serde(default)]
    pub auth: Auth,
    /// What the user is asked for, where that is not OAuth. `{name}` in a URL is the field's value.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// How an API key is sent: headers, in whose values `{name}` is the field's.
    #[serde(default)]
    pub key_headers: Headers,
    /// How user and password are sent: HTTP Basic (RFC 7617), `{name}` likewise.
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
    /// Scopes to ask for; none where the provider fixes them on the app.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// What the parameter with the scopes is called.
    #[serde(default = "scope")]
    pub scope_parameter: String,
    /// What stands between two scopes.
    #[serde(default)]
    pub scope_separator: Separator,
    /// Whether a PKCE challenge (RFC 7636) is sent.
    #[serde(default)]
    pub pkce: Pkce,
    /// The token endpoint (RFC 6749, 3.2).
    #[serde(default)]
    pub token_url: String,
    /// How the client proves itself at the token endpoint (RFC 6749, 2.3.1).
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Further parameters of the request for a token with client credentials; `{name}` is the field's value.
    #[serde(default)]
    pub token_parameters: BTreeMap<String, String>,
    /// How requests to the token endpoint are encoded.
    #[serde(default)]
    pub token_request_format: Encoding,
    /// How its answers are; `form` where they may be a form although JSON is asked for.
    #[serde(default = "json")]
    pub token_response_format: Encoding,
    /// What it calls the type of a token that goes into the Authorization header as Bearer.
    #[serde(default = "bearer")]
    pub token_type: String,
    /// A JSON Pointer (RFC 6901) to where the tokens stand in its answer, if not at the top.
    #[serde(default)]
    pub token_response_path: String,
    /// A JSON Pointer to what is `true` in every answer that is no failure, for a provider that answers failures with status 200.
    #[serde(default)]
    pub success_flag: Option<String>,
    /// How many seconds a token lives whose answer does not say so.
    #[serde(default)]
    pub default_expires_in: Option<u32>,
    /// Further fields of the token answer that go into the config, in plaintext, since nobody can use the tokens without them.
    #[serde(default)]
    pub token_response_metadata: Vec<String>,
    /// Answers to a refresh that mean `invalid_grant` (RFC 6749, 5.2) in words of the provider's own.
    #[serde(default)]
    pub invalid_grant: Vec<RefusedGrant>,
    /// After how many refusals alike, over a day past the token's end, the grant counts as over.
    #[serde(default = "refused_tries")]
    pub refused_tries: u32,
    /// After how many days of `forbidden` the user must reconnect.
    #[serde(default = "forbidden_days")]
    pub forbidden_days: u32,
    /// How a token is revoked; none where the provider has no endpoint for it.
    #[serde(default)]
    pub revocation: Option<Revocation>,
    /// What a second grant of the same user does to the first; none where nobody documents it.
    #[serde(default)]
    pub second_grant: Option<SecondGrant>,
    /// Whose a rate limit is, where that is documented.
    #[serde(default)]
    pub rate_limits: RateLimits,
    /// How the account behind a token is found.
    pub identity: Identity,
}

/// Headers by name.
pub type Headers = BTreeMap<HeaderName, String>;

/// What an account is connected with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// The user's consent at the provider (RFC 6749, 4.1), with an app of ours there.
    #[default]
    Oauth,
    /// A key that the user has, sent in a header.
    ApiKey,
    /// A user's name and password, or what the provider takes for them.
    Basic,
    /// A client of the user's own at the provider, which gets tokens for itself (RFC 6749, 4.4).
    ClientCredentials,
}

/// HTTP Basic: what is sent as user and as password.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What stands between two scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// A space (RFC 6749, 3.3).
    #[default]
    Space,
    /// A comma.
    Comma,
}

/// The PKCE challenge. There is no `plain`: it would hand the verifier to whoever sees the URL (RFC 9700, 2.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pkce {
    /// With SHA-256.
    #[default]
    S256,
    /// No challenge, since the provider refuses one. The state and the browser's cookie protect the flow.
    None,
}

/// Client authentication (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// HTTP Basic; id and secret are form-encoded first.
    #[default]
    ClientSecretBasic,
    /// HTTP Basic without that encoding, for a server that does not decode it.
    ClientSecretBasicRaw,
    /// In the body.
    ClientSecretPost,
}

/// How a body is encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// application/x-www-form-urlencoded
    #[default]
    Form,
    /// application/json
    Json,
}

/// An answer to a refresh that means `invalid_grant`. All that is given must match.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedGrant {
    /// The status; 200 or any of 4xx but 429 where it is left out.
    #[serde(default)]
    pub status: Option<u16>,
    /// A JSON Pointer (RFC 6901) to the error code.
    #[serde(default = "error_pointer")]
    pub at: String,
    /// The error code.
    #[serde(default)]
    pub code: Option<String>,
    /// A part of the description (`error_description` or `message`), in whichever case.
    #[serde(default)]
    pub description: Option<String>,
    /// The whole body, where it is bare text.
    #[serde(default)]
    pub text: Option<String>,
}

/// A revocation endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// What it takes.
    pub style: RevocationStyle,
    /// Where it is. `{client_id}` in it is the client's.
    pub url: String,
    /// What a revocation ends. Where nobody documents it, the most: everything that the user granted.
    #[serde(default)]
    pub ends: Ends,
}

/// What a revocation ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// The token, and the tokens of the same refresh token.
    Token,
    /// All tokens of the same authorization.
    Grant,
    /// Everything that the user granted to the app.
    #[default]
    User,
}

/// What a second grant of the same user does to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondGrant {
    /// The provider knows one grant for a user and an app: the first is ended, or is the same.
    Replaces,
    /// Both exist, each with tokens of its own.
    Separate,
}

/// Whose the limits are that a provider sets on the number of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    /// At the token endpoint.
    #[serde(default)]
    pub token: Option<RateLimit>,
    /// At the API, where the identity request and the check go.
    #[serde(default)]
    pub api: Option<RateLimit>,
}

/// Whose a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimit {
    /// The app's: all of its users share it.
    App,
    /// One user's, token's or account's.
    User,
}

/// What a limit is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The token endpoint.
    Token,
    /// The API.
    Api,
}

/// What a revocation endpoint takes. Where a refresh token is taken, it stands for the whole grant (RFC 7009, 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationStyle {
    /// RFC 7009: `token` and `token_type_hint`, encoded and with client authentication as at the token endpoint.
    Rfc7009,
    /// A form with the `token` alone.
    TokenOnly,
    /// The access token as `token`, encoded and with client authentication as at the token endpoint.
    AccessToken,
    /// A POST with the access token as Bearer.
    Bearer,
    /// The same with a form that holds it as `token` too.
    BearerForm,
    /// Supabase's: JSON with `client_id`, `client_secret` and `refresh_token`.
    SupabaseJson,
    /// GitHub's: DELETE with HTTP Basic and JSON with `access_token`.
    GithubToken,
}

/// The request that names the account, and where its answer says so.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Which answer names the account.
    #[serde(default)]
    pub from: Source,
    /// What kind of request it is that only a good token can make.
    #[serde(default)]
    pub style: IdentityStyle,
    /// Where it goes.
    pub url: String,
    /// Where a check asks for its one account, `{account_id}`, in place of the list.
    #[serde(default)]
    pub account_url: Option<String>,
    /// Headers that it needs besides the provider's own.
    #[serde(default)]
    pub headers: Headers,
    /// The query of GraphQL.
    #[serde(default)]
    pub query: Option<String>,
    /// Whether the answer is a list of accounts.
    #[serde(default)]
    pub list: bool,
    /// JSON Pointers (RFC 6901) into one account. Where the user's fields name it: a text with `{name}` for the field's value.
    pub account: IdAndName,
    /// The config's keys that hold the account's id and name, in plaintext.
    pub stored_as: IdAndName,
}

/// Which answer names the account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// That of the identity request.
    #[default]
    Request,
    /// That of the token endpoint.
    TokenResponse,
}

/// A request that only a good token can make.
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

/// A pair for the account's id and its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdAndName {
    /// For the id: what never changes.
    pub id: String,
    /// For the name: what people call it.
    pub name: String,
}

impl Provider {
    /// Whether a revocation ends more than the grant that it is given.
    pub fn revokes_widely(&self) -> bool {
        let revocation = self.revocation.as_ref();
        revocation.is_some_and(|revocation| revocation.ends == Ends::User)
    }

    /// How many organizations must have been told to wait before all connections of the type do; none: no number of them, since each has
    /// a limit of its own. At the API, where a customer's own use counts too, one organization never speaks for all.
    pub fn pauses_after(&self, endpoint: Endpoint) -> Option<u32> {
        let limits = self.rate_limits;
        match (endpoint, self.auth) {
            (_, Auth::ApiKey | Auth::Basic | Auth::ClientCredentials) => None,
            (Endpoint::Token, Auth::Oauth) => needed(limits.token, 1),
            (Endpoint::Api, Auth::Oauth) => needed(limits.api, 2),
        }
    }

    /// Every URL that the entry has.
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
