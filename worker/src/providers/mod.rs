//! The catalogue: what is different from one provider to the next is data (`worker/providers/`, an entry a file), checked and
//! compiled in by `build.rs`.

#[cfg(test)]
mod check;
#[cfg(test)]
mod check_fields;
mod entry;
mod fields;
mod header;
mod read;

pub use entry::*;
pub use fields::*;
pub use header::HeaderName;

use crate::json;
use sealed::PlainConfig;

const CATALOGUE: &str = include_str!(concat!(env!("OUT_DIR"), "/providers.json"));

impl Provider {
    /// All providers of the catalogue.
    pub fn catalogue() -> Result<Vec<Self>, String> {
        json::parse(CATALOGUE).ok_or_else(|| "the catalogue is malformed".to_owned())
    }

    /// The same provider at another origin: a self-hosted or a local one.
    pub fn at(mut self, base: &str) -> Self {
        for url in self.urls_mut() {
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            *url = format!("{base}/{path}");
        }
        self
    }

    /// Whether its URLs have a part that is the app's own.
    pub fn wants_slug(&self) -> bool {
        self.clone().urls_mut().any(|url| url.contains("{slug}"))
    }

    /// The same provider for one app.
    pub fn of_app(mut self, client_id: &str, slug: &str) -> Self {
        let client_id: String = form_urlencoded::byte_serialize(client_id.as_bytes()).collect();
        for url in self.urls_mut() {
            *url = url
                .replace("{client_id}", &client_id)
                .replace("{slug}", slug);
        }
        self
    }

    /// The same provider for a user's fields, as the config has them. None where one is missing, or is none: a config that others
    /// may write must not name another host than the entry does.
    pub fn of_user(&self, config: &PlainConfig) -> Option<Self> {
        let value = |name: &str| {
            let field = self.fields.iter().find(|field| field.name == name)?;
            let value = config.get_str(name)?;
            (value.len() <= field.max && field.format.accepts(value)).then_some(value)
        };
        let mut provider = self.clone();
        let account = &mut provider.identity.account;
        for text in [&mut account.id, &mut account.name] {
            *text = fill(text, value)?;
        }
        for text in provider.token_parameters.values_mut() {
            *text = fill(text, value)?;
        }
        for url in provider.urls_mut() {
            *url = fill(url, value)?;
        }
        Some(provider)
    }

    /// The scopes, as the request says them.
    pub fn scope(&self) -> String {
        self.scopes.join(match self.scope_separator {
            Separator::Space => " ",
            Separator::Comma => ",",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(kind: &str) -> Provider {
        let all = Provider::catalogue().unwrap();
        all.into_iter()
            .find(|provider| provider.kind == kind)
            .unwrap()
    }

    #[test]
    fn the_catalogue_is_read_and_every_type_stands_once() {
        let providers = Provider::catalogue().unwrap();
        let mut kinds: Vec<_> = providers
            .iter()
            .map(|provider| provider.kind.as_str())
            .collect();
        assert_eq!(
            kinds[..2],
            ["supabase", "airtable"],
            "the source document's first, then by name"
        );
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), providers.len());
        assert!(kinds.len() >= 20);
    }

    // Two readers of one vocabulary: build.rs checks with serde's, the worker reads with read.rs.
    #[test]
    fn the_catalogue_is_read_as_it_was_checked() {
        let checked: Vec<Provider> = serde_json::from_str(CATALOGUE).unwrap();
        let read = Provider::catalogue().unwrap();
        assert_eq!(format!("{read:?}"), format!("{checked:?}"));
    }

    #[test]
    fn another_base_moves_every_endpoint() {
        let supabase = provider("supabase").at("http://localhost:4000");
        assert_eq!(
            supabase.authorize_url,
            "http://localhost:4000/v1/oauth/authorize"
        );
        assert_eq!(supabase.token_url, "http://localhost:4000/v1/oauth/token");
        assert_eq!(supabase.identity.url, "http://localhost:4000/v1/projects");
        assert_eq!(
            supabase.revocation.unwrap().url,
            "http://localhost:4000/v1/oauth/revoke"
        );
    }

    #[test]
    fn an_apps_own_parts_are_filled_in_and_cannot_leave_their_place() {
        assert!(provider("vercel").wants_slug() && !provider("github").wants_slug());
        let vercel = provider("vercel").of_app("id", "my-app");
        assert_eq!(
            vercel.authorize_url,
            "https://vercel.com/integrations/my-app/new"
        );
        let github = provider("github").of_app("../x?y", "");
        assert_eq!(
            github.revocation.unwrap().url,
            "https://api.github.com/applications/..%2Fx%3Fy/token"
        );
    }

    #[test]
    fn a_users_part_is_filled_in_and_cannot_name_another_host() {
        let of = |subdomain: &str| {
            let fields =
                serde_json::json!({"subdomain": subdomain, "email": "a@b", "api_token": "planted"});
            let serde_json::Value::Object(fields) = fields else {
                unreachable!()
            };
            provider("zendesk").of_user(&PlainConfig::from_map(fields))
        };
        let identity = of("acme").unwrap().identity;
        assert_eq!(
            identity.url,
            "https://acme.zendesk.com/api/v2/account/settings.json"
        );
        assert_eq!(identity.account.id, "acme");
        for elsewhere in [
            "evil.example/",
            "evil.example#",
            "evil.example?",
            "evil.example\\",
            "user@evil.example:443/",
            "169.254.169.254/",
            "a.b",
            "",
            "Acme",
            &"a".repeat(64),
        ] {
            assert!(of(elsewhere).is_none(), "{elsewhere}");
        }
        assert!(
            provider("zendesk")
                .of_user(&PlainConfig::from_map(Default::default()))
                .is_none()
        );
    }

    const ENTRY: &str = r#"{
        "type": "example", "name": "Example", "verified": "2026-11-23", "docs": "https://example.com/docs",
        "authorize_url": "https://example.com/authorize", "token_url": "https://example.com/token", "client_auth": "post",
        "refresh": "keeps",
        "identity": {
            "url": "https://api.example.com/me", "account": { "id": "/id", "name": "/name" },
            "stored_as": { "id": "account_id", "name": "account_name" }
        }
    }"#;

    fn refusal(from: &str, to: &str) -> String {
        assert!(ENTRY.contains(from), "{from}");
        check::read(&ENTRY.replacen(from, to, 1), sealed::is_sensitive).unwrap_err()
    }

    #[test]
    fn an_entry_needs_a_few_fields_only() {
        let (_, provider, about) = check::read(ENTRY, sealed::is_sensitive).unwrap();
        assert_eq!(provider.pkce, Pkce::S256);
        assert_eq!(
            (provider.token_request, provider.token_answer),
            (Encoding::Form, Encoding::Json)
        );
        assert_eq!(about.refresh, check::Refresh::Keeps);
        assert_eq!(about.verified.to_string(), "2026-11-23");
    }

    #[test]
    fn it_takes_several_organizations_to_pause_a_type_unless_the_entry_knows_better() {
        let of = |limits: &str| {
            let entry = format!("{limits}\"client_auth\"");
            let entry = ENTRY.replacen("\"client_auth\"", &entry, 1);
            let (_, provider, _) = check::read(&entry, sealed::is_sensitive).unwrap();
            [Endpoint::Token, Endpoint::Api].map(|endpoint| provider.pauses_after(endpoint))
        };
        assert_eq!(of(""), [Some(3), Some(3)]);
        assert_eq!(of(r#""rate_limits": {"api": "user"},"#), [Some(3), None]);
        let both = r#""rate_limits": {"token": "app", "api": "app"},"#;
        assert_eq!(of(both), [Some(1), Some(2)]);
        let own = provider("stripe");
        assert_eq!(own.pauses_after(Endpoint::Api), None);
    }

    #[test]
    fn a_malformed_entry_is_refused_and_told_why() {
        for (from, to, why) in [
            ("\"post\"", "\"posted\"", "unknown variant `posted`"),
            (
                "\"client_auth\"",
                "\"client_authentication\"",
                "unknown field `client_authentication`",
            ),
            ("\"refresh\": \"keeps\",", "", "missing field `refresh`"),
            (
                "2026-11-23",
                "23.11.2026",
                "input contains invalid characters",
            ),
            ("https://example.com/docs", "example.com", "docs"),
            (
                "\"type\": \"example\"",
                "\"type\": \"Example\"",
                "type must be",
            ),
            (
                "https://example.com/token",
                "http://example.com/token",
                "must be https",
            ),
            (
                "https://example.com/token",
                "https://example.com/token?x=1",
                "must be https",
            ),
            (
                "https://example.com/token",
                "https://example.com/authorize",
                "the path of another endpoint",
            ),
            (
                "https://example.com/token",
                "https://{slug}/token",
                "must name a host",
            ),
            (
                "https://example.com/token",
                "https://example.com/{tenant}/token",
                "{slug} and {client_id} only",
            ),
            ("\"/id\"", "\"id\"", "no JSON Pointer"),
            ("account_id", "account_key", "cannot name a plaintext key"),
            ("account_id", "access_token", "cannot name a plaintext key"),
            ("account_id", "account_name", "cannot name a plaintext key"),
            (
                "\"client_auth\"",
                "\"kept\": [\"id_token\"], \"client_auth\"",
                "cannot name a plaintext key",
            ),
            (
                "\"client_auth\"",
                "\"pkce\": \"none\", \"client_auth\"",
                "pkce_reason",
            ),
            (
                "\"client_auth\"",
                "\"pkce\": \"none\", \"pkce_reason\": \" \", \"client_auth\"",
                "pkce_reason",
            ),
            (
                "\"client_auth\"",
                "\"pkce_reason\": \"x\", \"client_auth\"",
                "pkce_reason",
            ),
            (
                "\"client_auth\"",
                "\"invalid_grant\": [{\"status\": 400}], \"client_auth\"",
                "code, with or without",
            ),
            (
                "\"client_auth\"",
                "\"invalid_grant\": [{\"code\": \"x\", \"text\": \"y\"}], \"client_auth\"",
                "code, with or without",
            ),
            (
                "\"client_auth\"",
                "\"invalid_grant\": [{\"status\": 429, \"code\": \"x\"}], \"client_auth\"",
                "but 429",
            ),
            (
                "\"client_auth\"",
                "\"invalid_grant\": [{\"code\": \"x\", \"at\": \"status\"}], \"client_auth\"",
                "no JSON Pointer",
            ),
            (
                "\"client_auth\"",
                "\"invalid_grant\": [{\"code\": \"x\", \"description\": \" \"}], \"client_auth\"",
                "must say something",
            ),
            (
                "\"client_auth\"",
                "\"invalid_grant\": [{\"code\": \"invalid_client\"}], \"client_auth\"",
                "it may mean our client",
            ),
            (
                "\"client_auth\"",
                "\"invalid_grant\": [{\"error\": \"x\"}], \"client_auth\"",
                "unknown field `error`",
            ),
            (
                "\"account\"",
                "\"account_url\": \"https://api.example.com/me/{account_id}\", \"account\"",
                "beside a list",
            ),
            (
                "\"account\"",
                "\"list\": true, \"account_url\": \"https://api.example.com/all\", \"account\"",
                "{account_id} once",
            ),
            (
                "\"account\"",
                "\"list\": true, \"account_url\": \"http://api.example.com/{account_id}\", \"account\"",
                "must be https",
            ),
            (
                "https://example.com/token",
                "https://example.com/{account_id}/token",
                "{slug} and {client_id} only",
            ),
            (
                "\"client_auth\"",
                "\"rate_limits\": {\"api\": \"tenant\"}, \"client_auth\"",
                "unknown variant `tenant`",
            ),
            (
                "\"client_auth\"",
                "\"rate_limits\": {\"revocation\": \"app\"}, \"client_auth\"",
                "unknown field `revocation`",
            ),
            (
                "\"client_auth\"",
                "\"refused_tries\": 1, \"client_auth\"",
                "refused_tries must be",
            ),
            (
                "\"client_auth\"",
                "\"forbidden_days\": 366, \"client_auth\"",
                "forbidden_days 0 to 365",
            ),
            (
                "\"client_auth\"",
                "\"pkce\": \"plain\", \"client_auth\"",
                "unknown variant `plain`",
            ),
            (
                "\"client_auth\"",
                "\"authorize_parameters\": {\"state\": \"x\"}, \"client_auth\"",
                "must not set state",
            ),
            (
                "\"client_auth\"",
                "\"headers\": {\"cookie\": \"x\"}, \"client_auth\"",
                "cookie is no header of an entry",
            ),
            (
                "\"url\": \"https://api",
                "\"style\": \"graphql\", \"url\": \"https://api",
                "has a query",
            ),
            (
                "\"url\": \"https://api",
                "\"query\": \"{ me }\", \"url\": \"https://api",
                "has a query",
            ),
            ("}", "", "EOF"),
        ] {
            let refusal = refusal(from, to);
            assert!(refusal.contains(why), "{to}: {refusal}");
        }
    }
}
