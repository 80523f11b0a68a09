//! The settings, read once per isolate and checked as a whole: a wrong setting fails the first request.
//!
//! Each error names its setting and never shows a value.

use crate::auth::attempts::SubjectKey;
use crate::db::project::{Project, Role};
use crate::error::ClientError;
use crate::http::url::{parse_issuer, parse_origin};
use crate::oauth::Client;
use crate::offer::{App, OauthType, Offer};
use catalogue::{Auth, Provider};
use kms::WrappingKeys;
use platform::settings::{Environment, SettingError};
use sealed::Secret;
use std::ops::RangeInclusive;

#[derive(Debug)]
pub struct Settings {
    /// The worker's public address (`APP_URL`): an origin.
    pub app_url: String,
    pub supabase: Project,
    /// `iss` of the users' tokens.
    pub jwt_issuer: String,
    /// The secret of HS256 tokens, for projects that still sign with one.
    pub jwt_secret: Option<Secret>,
    pub wrapping: WrappingKeys,
    /// The types that can be connected with the deployment's app or with credentials, in the order in which the page shows them.
    pub offers: Vec<Offer>,
    /// The types that can be connected by OAuth: an organization may have an app of its own, whatever the deployment offers.
    pub oauth_types: Vec<OauthType>,
    /// Whether the sealed credentials are also set as cookies, for the source document's manual scanner. Deprecated.
    pub legacy_cookies: bool,
    /// Whether programs may read access tokens in plaintext (`PLAINTEXT_CREDENTIALS`).
    pub plaintext_credentials: bool,
    /// Whether each request leaves a line in the log, and not only those that fail (`REQUEST_LOG`).
    pub request_log: bool,
    /// Where the browser of a connect session may return to (`RETURN_ORIGINS`).
    pub return_origins: Vec<String>,
    /// Whether webhooks may go to this machine: for development.
    pub webhook_loopback: bool,
    /// `EVENT_RETENTION_DAYS`.
    pub event_retention_days: u32,
    /// The key that hashes accounts and addresses whose attempts are counted.
    pub subject_key: SubjectKey,
}

const LOOPBACK: &str = "WEBHOOK_LOOPBACK";
/// How many days events may be kept. The database does not delete younger ones.
const RETENTION: RangeInclusive<u32> = 30..=36_500;
/// HS256 needs a key of at least 256 bits (RFC 7518, 3.2).
const JWT_SECRET_MIN: usize = 32;

impl Settings {
    /// Reads the settings through `get`, which returns None for an unset one.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let env = &Environment::new(&get);
        let app_url = env.origin("APP_URL")?;
        let supabase_url = env.origin("SUPABASE_URL")?;
        let supabase = Project {
            anon_key: env.api_key("SUPABASE_ANON_KEY", Role::Anon)?,
            service_key: env.api_key("SUPABASE_SERVICE_ROLE_KEY", Role::Service)?,
            url: supabase_url,
        };
        let jwt_secret = env.optional("SUPABASE_JWT_SECRET").map(Secret::from);
        if jwt_secret
            .as_ref()
            .is_some_and(|secret| secret.expose().len() < JWT_SECRET_MIN)
        {
            return Err(SettingError::malformed(
                "SUPABASE_JWT_SECRET",
                "at least 32 bytes long",
            ));
        }
        let wrapping = env.wrapping_keys()?;
        let subject_key = SubjectKey::derive(&env.encryption_key()?);
        let event_retention_days = event_retention_days(env)?;
        let oauth_types = oauth_types(env, &app_url)?;
        let offers = offers(env, &oauth_types)?;
        let legacy_cookies = env.flag("LEGACY_CREDENTIAL_COOKIES")?;
        let plaintext_credentials = env.flag("PLAINTEXT_CREDENTIALS")?;
        let request_log = env.flag("REQUEST_LOG")?;
        let webhook_loopback = env.flag(LOOPBACK)?;
        // With an http APP_URL the app runs on this machine. Anywhere else the setting would open addresses that only the worker can reach.
        if webhook_loopback && !app_url.starts_with("http://") {
            let expected = "allowed with an APP_URL that is not http://localhost";
            return Err(SettingError::malformed(LOOPBACK, expected));
        }
        Ok(Self {
            jwt_issuer: issuer(env, "SUPABASE_JWT_ISSUER")?
                .unwrap_or_else(|| format!("{}/auth/v1", supabase.url)),
            app_url,
            supabase,
            jwt_secret,
            wrapping,
            offers,
            oauth_types,
            legacy_cookies,
            plaintext_credentials,
            request_log,
            return_origins: return_origins(env)?,
            webhook_loopback,
            event_retention_days,
            subject_key,
        })
    }

    pub fn offer(&self, kind: &str) -> Option<&Offer> {
        let mut offers = self.offers.iter();
        offers.find(|offer| offer.provider().kind == kind)
    }

    pub fn oauth_type(&self, kind: &str) -> Result<&OauthType, ClientError> {
        let mut types = self.oauth_types.iter();
        let found = types.find(|known| known.provider.kind == kind);
        found.ok_or_else(|| match self.offer(kind) {
            Some(_) => ClientError::ConnectsByCredentials,
            None => ClientError::UnknownProvider,
        })
    }

    /// Also of a type that only an organization's own app connects.
    pub fn provider(&self, kind: &str) -> Option<&Provider> {
        self.providers().find(|provider| provider.kind == kind)
    }

    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        let oauth = self.oauth_types.iter().map(|known| &known.provider);
        let others = self.offers.iter().filter_map(|offer| match offer {
            Offer::OAuth(_) => None,
            Offer::Credentials(provider) => Some(provider),
        });
        oauth.chain(others)
    }

    pub fn client(&self, kind: &str) -> Result<&Client, ClientError> {
        match self.offer(kind).ok_or(ClientError::UnknownProvider)? {
            Offer::OAuth(client) => Ok(client),
            Offer::Credentials(_) => Err(ClientError::ConnectsByCredentials),
        }
    }

    pub fn direct(&self, kind: &str) -> Result<&Offer, ClientError> {
        match self.offer(kind).ok_or(ClientError::UnknownProvider)? {
            Offer::OAuth(_) => Err(ClientError::ConnectsByOauth),
            offer => Ok(offer),
        }
    }
}

/// An issuer, if one is set, exactly as tokens and callbacks contain it.
fn issuer(env: &Environment<'_>, name: &str) -> Result<Option<String>, SettingError> {
    let malformed = || {
        let expected = "a URL in canonical form (https://login.example/tenant): its host in lower case, without a default port, a query and a fragment";
        SettingError::malformed(name, expected)
    };
    let Some(issuer) = env.optional(name) else {
        return Ok(None);
    };
    parse_issuer(&issuer).ok_or_else(malformed)?;
    Ok(Some(issuer))
}

fn return_origins(env: &Environment<'_>) -> Result<Vec<String>, SettingError> {
    const NAME: &str = "RETURN_ORIGINS";
    let text = env.optional(NAME).unwrap_or_default();
    let origins = text.split(',').map(str::trim);
    let origins = origins
        .filter(|origin| !origin.is_empty())
        .map(parse_origin);
    origins.collect::<Option<_>>().ok_or_else(|| {
        let expected = "a list of https origins such as https://app.example.com";
        SettingError::malformed(NAME, expected)
    })
}

fn event_retention_days(env: &Environment<'_>) -> Result<u32, SettingError> {
    const NAME: &str = "EVENT_RETENTION_DAYS";
    let Some(text) = env.optional(NAME) else {
        return Ok(400);
    };
    let days = text.parse().ok().filter(|days| RETENTION.contains(days));
    days.ok_or_else(|| SettingError::malformed(NAME, "a number from 30 to 36500"))
}

fn based(env: &Environment<'_>, provider: Provider) -> Result<Provider, SettingError> {
    Ok(match env.base_url(&provider.kind)? {
        Some(base) => provider.at(&base),
        None => provider,
    })
}

fn app(env: &Environment<'_>, provider: &Provider) -> Result<Option<App>, SettingError> {
    let prefix = provider.kind.to_ascii_uppercase();
    let name = |suffix: &str| format!("{prefix}_{suffix}");
    let (id, secret) = (name("CLIENT_ID"), name("CLIENT_SECRET"));
    if env.optional(&id).is_none() && env.optional(&secret).is_none() {
        return Ok(None);
    }
    let mut slug = String::new();
    if provider.wants_slug() {
        let name = name("SLUG");
        slug = env.required(&name)?;
        if !is_slug(&slug) {
            return Err(SettingError::malformed(
                &name,
                "letters, digits, hyphens and underscores",
            ));
        }
    }
    Ok(Some(App {
        client_id: env.required(&id)?,
        secret: env.required(&secret)?.into(),
        fallback_secret: env
            .optional(&name("FALLBACK_CLIENT_SECRET"))
            .map(Secret::from),
        slug,
    }))
}

/// Whether a text can be the part of a provider's URLs that each app configures.
pub fn is_slug(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    text.bytes().all(plain)
}

fn oauth_types(env: &Environment<'_>, app_url: &str) -> Result<Vec<OauthType>, SettingError> {
    let providers = crate::providers::all().map_err(SettingError)?.into_iter();
    let providers = providers.filter(|provider| provider.auth == Auth::Oauth);
    let of_type = |provider: Provider| {
        let prefix = provider.kind.to_ascii_uppercase();
        let own_scopes = provider.scopes.len();
        let mut provider = based(env, provider)?;
        for scope in further_scopes(env, &prefix)? {
            if !provider.scopes.contains(&scope) {
                provider.scopes.push(scope);
            }
        }
        Ok(OauthType {
            own_scopes,
            issuer: issuer(env, &format!("{prefix}_ISSUER"))?,
            redirect_uri: format!("{app_url}/api/auth/callback/{}", provider.kind),
            provider,
        })
    };
    providers.map(of_type).collect()
}

/// The scopes that are requested beside the entry's: those that the checks of a scan need (docs/checks.md).
fn further_scopes(env: &Environment<'_>, prefix: &str) -> Result<Vec<String>, SettingError> {
    let name = format!("{prefix}_SCOPES");
    let text = env.optional(&name).unwrap_or_default();
    let scopes = text.split([' ', ',']).filter(|scope| !scope.is_empty());
    // RFC 6749, 3.3.
    let of_scope = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if !scopes.clone().all(|scope| scope.bytes().all(of_scope)) {
        return Err(SettingError::malformed(&name, "a list of scopes"));
    }
    Ok(scopes.map(str::to_owned).collect())
}

fn offers(env: &Environment<'_>, oauth_types: &[OauthType]) -> Result<Vec<Offer>, SettingError> {
    const TYPES: &str = "CREDENTIAL_TYPES";
    let mut offers = Vec::new();
    let types = env.optional(TYPES).unwrap_or_default();
    let types = types.split(',').map(str::trim);
    let mut types: Vec<_> = types.filter(|kind| !kind.is_empty()).collect();
    for provider in crate::providers::all().map_err(SettingError)? {
        let mut known = oauth_types.iter();
        if let Some(oauth_type) = known.find(|known| known.provider.kind == provider.kind) {
            let app = app(env, &provider)?;
            offers.extend(app.map(|app| Offer::OAuth(oauth_type.client(app))));
        } else if let Some(at) = types.iter().position(|kind| *kind == provider.kind) {
            types.remove(at);
            offers.push(Offer::Credentials(based(env, provider)?));
        }
    }
    if !types.is_empty() {
        return Err(SettingError::malformed(
            TYPES,
            "a list of types that are connected with credentials (docs/providers.md), each once",
        ));
    }
    // A worker that offers nothing is misconfigured. Supabase is named as an example.
    if offers.is_empty() {
        Err(SettingError::missing("SUPABASE_CLIENT_ID"))
    } else {
        Ok(offers)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    pub(crate) fn complete() -> Vec<(&'static str, &'static str)> {
        vec![
            ("APP_URL", "http://localhost:3000"),
            ("SUPABASE_URL", "https://project.supabase.co"),
            ("SUPABASE_ANON_KEY", "sb_publishable_x"),
            ("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_x"),
            ("SUPABASE_CLIENT_ID", "client"),
            ("SUPABASE_CLIENT_SECRET", "planted-client-secret"),
            ("ENCRYPTION_KEY", KEY),
        ]
    }

    pub(crate) fn read(settings: &[(&str, &str)]) -> Result<Settings, SettingError> {
        Settings::read(|name| {
            settings
                .iter()
                .rev()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_complete_environment_is_read() {
        let settings = read(&complete()).unwrap();
        assert_eq!(settings.jwt_issuer, "https://project.supabase.co/auth/v1");
        assert_eq!(
            settings.client("supabase").unwrap().redirect_uri,
            "http://localhost:3000/api/auth/callback/supabase"
        );
        assert!(settings.offer("gitlab").is_none() && !settings.legacy_cookies);
    }

    // threat model 126
    #[test]
    fn every_url_is_read_in_the_form_that_browsers_send() {
        let mut settings = complete();
        settings.extend([
            ("APP_URL", "https://Connect.Example.com:443/"),
            ("SUPABASE_URL", "HTTPS://Project.supabase.co"),
            ("SUPABASE_BASE_URL", "https://API.bücher.example:0443"),
        ]);
        let settings = read(&settings).unwrap();
        assert_eq!(settings.app_url, "https://connect.example.com");
        assert_eq!(settings.supabase.url, "https://project.supabase.co");
        assert_eq!(settings.jwt_issuer, "https://project.supabase.co/auth/v1");
        let client = settings.client("supabase").unwrap();
        assert_eq!(
            client.redirect_uri,
            "https://connect.example.com/api/auth/callback/supabase"
        );
        assert_eq!(
            client.provider.token_url,
            "https://api.xn--bcher-kva.example/v1/oauth/token"
        );
    }

    #[test]
    fn every_missing_setting_is_named_in_the_sources_words() {
        for (name, _) in complete() {
            let rest: Vec<_> = complete()
                .into_iter()
                .filter(|(known, _)| *known != name)
                .collect();
            assert_eq!(
                read(&rest).unwrap_err().0,
                format!("{name} environment variable is not set")
            );
        }
    }

    #[test]
    fn a_malformed_setting_is_named_and_its_value_is_not() {
        for (name, value) in [
            ("APP_URL", "http://edge.example"),
            ("APP_URL", "https://edge.example/path"),
            ("SUPABASE_URL", "http://planted.example"),
            ("SUPABASE_ANON_KEY", "sb_secret_planted"),
            ("SUPABASE_ANON_KEY", "planted"),
            ("SUPABASE_SERVICE_ROLE_KEY", "sb_publishable_planted"),
            ("SUPABASE_JWT_SECRET", "planted"),
            ("ENCRYPTION_KEY", "planted"),
            ("ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODw=="),
            ("FALLBACK_ENCRYPTION_KEYS", "planted"),
            ("FALLBACK_ENCRYPTION_KEYS", KEY),
            ("SUPABASE_BASE_URL", "http://planted.example"),
            ("LEGACY_CREDENTIAL_COOKIES", "planted"),
            ("WEBHOOK_LOOPBACK", "planted"),
            ("SUPABASE_JWT_ISSUER", "https://Planted.example/auth/v1"),
            ("SUPABASE_JWT_ISSUER", "https://planted.example:443/auth/v1"),
            ("SUPABASE_ISSUER", "planted"),
            ("RETURN_ORIGINS", "planted"),
            (
                "RETURN_ORIGINS",
                "https://app.example,http://planted.example",
            ),
            ("RETURN_ORIGINS", "https://app.example/planted"),
            ("RETURN_ORIGINS", "*"),
            ("SUPABASE_ISSUER", "HTTPS://planted.example"),
            ("CREDENTIAL_TYPES", "planted"),
            ("CREDENTIAL_TYPES", "stripe,supabase"),
            ("CREDENTIAL_TYPES", "stripe,stripe"),
            ("CREDENTIAL_TYPES", "stripe zendesk"),
        ] {
            let mut settings = complete();
            settings.push((name, value));
            let error = read(&settings).unwrap_err().0;
            assert!(
                error.starts_with(&format!("{name} environment variable is not ")),
                "{name}: {error}"
            );
            assert!(
                !error.contains("planted") && !error.contains(KEY),
                "{error}"
            );
        }
    }

    #[test]
    fn webhooks_go_to_this_machine_only_where_the_app_is_on_it() {
        let mut settings = complete();
        assert!(!read(&settings).unwrap().webhook_loopback);
        settings.push(("WEBHOOK_LOOPBACK", "true"));
        assert!(read(&settings).unwrap().webhook_loopback);
        settings.push(("APP_URL", "https://edge.example"));
        assert_eq!(
            read(&settings).unwrap_err().0,
            "WEBHOOK_LOOPBACK environment variable is not allowed with an APP_URL that is not http://localhost"
        );
    }

    #[test]
    fn browsers_return_to_the_listed_origins() {
        let mut settings = complete();
        assert!(read(&settings).unwrap().return_origins.is_empty());
        let origins = " https://App.example:443, http://localhost:4000,";
        settings.push(("RETURN_ORIGINS", origins));
        assert_eq!(
            read(&settings).unwrap().return_origins,
            ["https://app.example", "http://localhost:4000"]
        );
    }

    #[test]
    fn half_a_client_is_a_fault() {
        let mut settings = complete();
        settings.push(("GITLAB_CLIENT_ID", "x"));
        assert_eq!(
            read(&settings).unwrap_err().0,
            "GITLAB_CLIENT_SECRET environment variable is not set"
        );
    }

    #[test]
    fn what_is_connected_with_credentials_is_offered_by_name() {
        let mut settings = complete();
        settings.push(("CREDENTIAL_TYPES", " zendesk, stripe,"));
        settings.push(("ZENDESK_BASE_URL", "http://localhost:4000"));
        let all = read(&settings).unwrap();
        let kinds: Vec<_> = all
            .offers
            .iter()
            .map(|offer| &offer.provider().kind)
            .collect();
        assert_eq!(kinds, ["supabase", "stripe", "zendesk"]);
        assert_eq!(
            all.direct("zendesk").unwrap().provider().identity.url,
            "http://localhost:4000/api/v2/account/settings.json"
        );
        assert_eq!(
            all.client("stripe").unwrap_err(),
            ClientError::ConnectsByCredentials
        );
        assert_eq!(
            all.direct("supabase").unwrap_err(),
            ClientError::ConnectsByOauth
        );
        assert_eq!(
            all.direct("twilio").unwrap_err(),
            ClientError::UnknownProvider
        );
        // Without an app: credentials alone are an offer.
        settings.retain(|(name, _)| !name.starts_with("SUPABASE_CLIENT"));
        assert_eq!(read(&settings).unwrap().offers.len(), 2);
    }

    #[test]
    fn further_scopes_are_requested_beside_the_entrys() {
        let scopes = |text: &str| {
            let mut settings = complete();
            settings.extend([
                ("GITLAB_CLIENT_ID", "x"),
                ("GITLAB_CLIENT_SECRET", "y"),
                ("GITLAB_SCOPES", text),
            ]);
            let settings = read(&settings).map_err(|wrong| wrong.0)?;
            Ok::<_, String>(settings.client("gitlab").unwrap().provider.scopes.clone())
        };
        assert_eq!(scopes("").unwrap(), ["read_user"]);
        assert_eq!(
            scopes("read_api, read_user,project:read").unwrap(),
            ["read_user", "read_api", "project:read"]
        );
        for wrong in ["planted\"", "a\\b", "plánted", "a\tb"] {
            let refusal = scopes(wrong).unwrap_err();
            assert_eq!(
                refusal,
                "GITLAB_SCOPES environment variable is not a list of scopes"
            );
        }
    }

    #[test]
    fn a_session_requests_a_part_of_the_operators_scopes() {
        let mut settings = complete();
        settings.extend([
            ("GITLAB_CLIENT_ID", "x"),
            ("GITLAB_CLIENT_SECRET", "y"),
            ("GITLAB_SCOPES", "read_api profile"),
        ]);
        let settings = read(&settings).unwrap();
        let gitlab = settings.oauth_type("gitlab").unwrap();
        let scopes = |asked: &[&str]| {
            let asked: Vec<_> = asked.iter().map(|&scope| scope.to_owned()).collect();
            gitlab.scope(Some(&asked))
        };
        assert_eq!(gitlab.scope(None), "read_user read_api profile");
        assert_eq!(scopes(&["profile"]), "read_user profile");
        assert_eq!(scopes(&["api"]), "read_user");
        assert_eq!(scopes(&[]), "read_user");
    }

    #[test]
    fn every_type_that_is_connected_by_oauth_can_have_an_organizations_own_app() {
        let mut settings = complete();
        settings.extend([
            ("GITLAB_BASE_URL", "https://gitlab.example"),
            ("GITLAB_SCOPES", "read_api"),
            ("CREDENTIAL_TYPES", "stripe"),
        ]);
        let settings = read(&settings).unwrap();
        let refused = |kind| settings.oauth_type(kind).unwrap_err();
        assert_eq!(refused("stripe"), ClientError::ConnectsByCredentials);
        assert_eq!(refused("zendesk"), ClientError::UnknownProvider);
        let gitlab = settings.oauth_type("gitlab").unwrap();
        let client = gitlab.client(App {
            client_id: "their client".to_owned(),
            secret: "planted".to_owned().into(),
            fallback_secret: None,
            slug: String::new(),
        });
        assert_eq!(client.provider.scope(), "read_user read_api");
        assert!(
            client
                .provider
                .token_url
                .starts_with("https://gitlab.example/")
        );
        assert_eq!(
            client.redirect_uri,
            "http://localhost:3000/api/auth/callback/gitlab"
        );
        // A URL of the provider that names the app names theirs.
        let vercel = settings.oauth_type("vercel").unwrap();
        let client = vercel.client(App {
            client_id: "c".to_owned(),
            secret: "planted".to_owned().into(),
            fallback_secret: None,
            slug: "their-app".to_owned(),
        });
        assert_eq!(
            client.provider.authorize_url,
            "https://vercel.com/integrations/their-app/new"
        );
        assert!(settings.offer("gitlab").is_none() && settings.provider("gitlab").is_some());
        assert!(settings.provider("stripe").is_some() && settings.provider("zendesk").is_none());
    }

    #[test]
    fn a_provider_whose_urls_are_the_apps_own_wants_its_slug() {
        let mut settings = complete();
        settings.extend([("VERCEL_CLIENT_ID", "x"), ("VERCEL_CLIENT_SECRET", "y")]);
        let refused = |settings: &[_]| read(settings).unwrap_err().0;
        assert_eq!(
            refused(&settings),
            "VERCEL_SLUG environment variable is not set"
        );
        settings.push(("VERCEL_SLUG", "planted/../x"));
        let refusal = refused(&settings);
        assert!(
            refusal.starts_with("VERCEL_SLUG environment variable is not letters"),
            "{refusal}"
        );
        settings.push(("VERCEL_SLUG", "my-app"));
        let settings = read(&settings).unwrap();
        assert_eq!(
            settings.client("vercel").unwrap().provider.authorize_url,
            "https://vercel.com/integrations/my-app/new"
        );
    }

    #[test]
    fn events_are_kept_as_long_as_the_operator_says_within_bounds() {
        let days = |value: &str| {
            let mut settings = complete();
            settings.push(("EVENT_RETENTION_DAYS", value));
            read(&settings).map(|settings| settings.event_retention_days)
        };
        assert_eq!(days("").unwrap(), 400);
        assert_eq!(days("30").unwrap(), 30);
        for wrong in ["29", "36501", "-1", "400 days", "1e3"] {
            assert_eq!(
                days(wrong).unwrap_err().0,
                "EVENT_RETENTION_DAYS environment variable is not a number from 30 to 36500"
            );
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", read(&complete()).unwrap());
        assert!(
            !shown.contains("planted") && !shown.contains("sb_secret") && !shown.contains(KEY),
            "{shown}"
        );
    }
}
