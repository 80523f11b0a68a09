//! The settings, read once per isolate and checked as a whole. They contain no OAuth client: the worker refreshes the tokens.

use kms::WrappingKeys;
use platform::project::{ApiKey, Role};
use platform::settings::{Environment, SettingError};
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Settings {
    pub supabase_url: String,
    /// Calls the database's functions.
    pub service_key: ApiKey,
    /// Opens the credentials.
    pub wrapping: WrappingKeys,
    /// Another origin for a provider, by type.
    pub base_urls: BTreeMap<&'static str, String>,
}

impl Settings {
    /// `get` returns None for an unset setting. The error names the setting, and never shows its value.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let env = &Environment::new(&get);
        let mut base_urls = BTreeMap::new();
        for entry in checks::entries() {
            if let Some(url) = env.base_url(&entry.kind)? {
                base_urls.insert(entry.kind.as_str(), url);
            }
        }
        Ok(Self {
            supabase_url: env.origin("SUPABASE_URL")?,
            service_key: env.api_key("SUPABASE_SERVICE_ROLE_KEY", Role::Service)?,
            wrapping: env.wrapping_keys()?,
            base_urls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn read(changed: &[(&str, &str)]) -> Result<Settings, SettingError> {
        let complete = [
            ("SUPABASE_URL", "https://Project.supabase.co:443"),
            ("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_planted"),
            ("ENCRYPTION_KEY", KEY),
        ];
        Settings::read(|name| {
            let mut all = changed.iter().chain(&complete);
            all.find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn needs_no_client_of_any_provider() {
        let settings = read(&[("GITLAB_BASE_URL", "https://git.example")]).unwrap();
        assert_eq!(settings.supabase_url, "https://project.supabase.co");
        assert_eq!(settings.base_urls["gitlab"], "https://git.example");
        assert_eq!(settings.base_urls.len(), 1);
    }

    #[test]
    fn says_which_setting_is_wrong_and_never_its_value() {
        for (name, value) in [
            ("SUPABASE_URL", "http://planted.example"),
            ("SUPABASE_URL", ""),
            ("SUPABASE_SERVICE_ROLE_KEY", "sb_publishable_planted"),
            ("ENCRYPTION_KEY", "planted"),
            ("FALLBACK_ENCRYPTION_KEYS", "planted"),
            ("GITHUB_BASE_URL", "http://planted.example"),
        ] {
            let SettingError(told) = read(&[(name, value)]).unwrap_err();
            assert!(told.starts_with(&format!("{name} environment variable is not ")));
            assert!(!told.contains("planted"), "{told}");
        }
        let shown = format!("{:?}", read(&[]).unwrap());
        assert!(
            !shown.contains("planted") && !shown.contains(KEY),
            "{shown}"
        );
    }
}
