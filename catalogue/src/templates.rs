//! Fills the braces of an entry, for an app, a user or another origin.

use crate::entry::{Provider, Separator};
use crate::fields::fill;
use sealed::PlainConfig;

impl Provider {
    /// The same provider at another origin: self-hosted or local.
    pub fn at(mut self, base: &str) -> Self {
        for url in self.urls_mut() {
            let path = url.splitn(4, '/').nth(3).unwrap_or_default();
            *url = format!("{base}/{path}");
        }
        self
    }

    /// Whether its URLs contain a part that each app configures.
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

    /// The same provider with a user's fields from the config. None if one is missing or invalid: other writers can change a config, and must not
    /// name another host than the entry does.
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

    pub fn scope(&self) -> String {
        self.joined(&self.scopes)
    }

    pub fn joined(&self, scopes: &[String]) -> String {
        scopes.join(match self.scope_separator {
            Separator::Space => " ",
            Separator::Comma => ",",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(text: &str) -> Provider {
        crate::read(text).unwrap().provider
    }

    fn supabase() -> Provider {
        provider(include_str!("../providers/supabase.json"))
    }

    fn vercel() -> Provider {
        provider(include_str!("../providers/vercel.json"))
    }

    fn github() -> Provider {
        provider(include_str!("../providers/github.json"))
    }

    fn zendesk() -> Provider {
        provider(include_str!("../providers/zendesk.json"))
    }

    #[test]
    fn another_base_moves_every_endpoint() {
        let supabase = supabase().at("http://localhost:4000");
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
        assert!(vercel().wants_slug() && !github().wants_slug());
        let vercel = vercel().of_app("id", "my-app");
        assert_eq!(
            vercel.authorize_url,
            "https://vercel.com/integrations/my-app/new"
        );
        let github = github().of_app("../x?y", "");
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
            zendesk().of_user(&PlainConfig::from_map(fields))
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
            zendesk()
                .of_user(&PlainConfig::from_map(Default::default()))
                .is_none()
        );
    }
}
