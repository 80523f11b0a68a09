//! Settings: environment variables with the worker's names.

use std::env::{self, VarError};

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};

pub const PRIMARY: &str = "ENCRYPTION_KEY";
pub const FALLBACKS: &str = "FALLBACK_ENCRYPTION_KEYS";
pub const DATABASE_URL: &str = "DATABASE_URL";
pub const SUPABASE_URL: &str = "SUPABASE_URL";
pub const SERVICE_KEY: &str = "SUPABASE_SERVICE_ROLE_KEY";
/// A service key of the worker's API.
pub const API_KEY: &str = "SERVICE_KEY";

/// A secret setting. An empty one counts as unset, because an empty line in a settings file produces it.
pub fn secret(name: &str) -> Result<Option<Zeroizing<String>>> {
    match env::var(name) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(VarError::NotPresent) => Ok(None),
        // The error's own message would show the value.
        Err(VarError::NotUnicode(_)) => Err(Error::new(
            ErrorKind::Caller,
            format!("{name} is no UTF-8 text"),
        )),
    }
}

/// Parses a UUID argument. The parser's own message would quote a character of it.
pub fn uuid(text: &str) -> Result<uuid::Uuid, &'static str> {
    text.parse().map_err(|_| "not a UUID")
}
