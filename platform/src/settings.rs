//! Reads and checks settings. Every error names its setting, and never shows a value.

use crate::origin::parse_origin;
use crate::project::{ApiKey, Role};
use kms::WrappingKeys;
use sealed::{Key, KeyError, KeyRing};

/// Says which setting is missing or malformed.
#[derive(Debug, PartialEq, Eq)]
pub struct SettingError(pub String);

impl SettingError {
    /// In the source document's words.
    pub fn missing(name: &str) -> Self {
        Self(format!("{name} environment variable is not set"))
    }

    pub fn malformed(name: &str, expected: &str) -> Self {
        Self(format!("{name} environment variable is not {expected}"))
    }
}

pub struct Environment<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Environment<'a> {
    /// `get` returns None for an unset setting.
    pub fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get }
    }

    /// An empty setting counts as unset, because shells and dashboards leave it so.
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.get)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    pub fn required(&self, name: &str) -> Result<String, SettingError> {
        self.optional(name)
            .ok_or_else(|| SettingError::missing(name))
    }

    /// `true` or `false`. Unset is `false`.
    pub fn flag(&self, name: &str) -> Result<bool, SettingError> {
        match self.optional(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(SettingError::malformed(name, "true or false")),
        }
    }

    /// An origin as browsers send it: https, or http on this machine.
    pub fn origin(&self, name: &str) -> Result<String, SettingError> {
        checked_origin(name, &self.required(name)?)
    }

    pub fn api_key(&self, name: &str, role: Role) -> Result<ApiKey, SettingError> {
        let expected = match role {
            Role::Anon => "an anon or publishable key",
            Role::Service => "a service_role or secret key",
        };
        ApiKey::parse(self.required(name)?, role)
            .ok_or_else(|| SettingError::malformed(name, expected))
    }

    /// `ENCRYPTION_KEY`, which seals and opens.
    pub fn encryption_key(&self) -> Result<Key, SettingError> {
        key(PRIMARY, &self.required(PRIMARY)?)
    }

    /// `ENCRYPTION_KEY`, and `FALLBACK_ENCRYPTION_KEYS`, which only open.
    pub fn key_ring(&self) -> Result<KeyRing, SettingError> {
        let fallbacks = self.optional(FALLBACKS).unwrap_or_default();
        let fallbacks = fallbacks
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| key(FALLBACKS, text))
            .collect::<Result<Vec<_>, _>>()?;
        KeyRing::new(self.encryption_key()?, fallbacks).map_err(|_: KeyError| {
            SettingError::malformed(
                FALLBACKS,
                "a list of other keys than ENCRYPTION_KEY, each once",
            )
        })
    }

    /// The key ring, and the keys of `WRAPPING_KEY` and `FALLBACK_WRAPPING_KEY`, if they are set.
    pub fn wrapping_keys(&self) -> Result<WrappingKeys, SettingError> {
        let keys = kms::wrapping_keys(self.key_ring()?, &|name| self.optional(name), &parse_origin);
        keys.map_err(|error| match error {
            kms::SettingError::Missing(name) => SettingError::missing(name),
            kms::SettingError::Malformed(name, expected) => SettingError::malformed(name, expected),
        })
    }

    /// Another origin for a type's endpoints (`<TYPE>_BASE_URL`).
    pub fn base_url(&self, kind: &str) -> Result<Option<String>, SettingError> {
        let name = format!("{}_BASE_URL", kind.to_ascii_uppercase());
        self.optional(&name)
            .map(|value| checked_origin(&name, &value))
            .transpose()
    }
}

const PRIMARY: &str = "ENCRYPTION_KEY";
const FALLBACKS: &str = "FALLBACK_ENCRYPTION_KEYS";

fn key(name: &str, text: &str) -> Result<Key, SettingError> {
    Key::from_base64(text).map_err(|_: KeyError| {
        SettingError::malformed(name, "32 bytes of base64 (openssl rand -base64 32)")
    })
}

fn checked_origin(name: &str, value: &str) -> Result<String, SettingError> {
    parse_origin(value).ok_or_else(|| {
        SettingError::malformed(
            name,
            "an https origin such as https://your-project.supabase.co",
        )
    })
}
