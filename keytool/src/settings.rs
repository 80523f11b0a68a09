//! Settings: environment variables, as the worker's are named.

use std::env::{self, VarError};

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};

pub const PRIMARY: &str = "ENCRYPTION_KEY";
pub const FALLBACKS: &str = "FALLBACK_ENCRYPTION_KEYS";
pub const DATABASE_URL: &str = "DATABASE_URL";
pub const SUPABASE_URL: &str = "SUPABASE_URL";
pub const SERVICE_KEY: &str = "SUPABASE_SERVICE_ROLE_KEY";

/// A setting that holds a secret. Empty is as good as unset: that is what an empty line in a settings file gives.
pub fn secret(name: &str) -> Result<Option<Zeroizing<String>>> {
    match env::var(name) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(VarError::NotPresent) => Ok(None),
        // The message of this error would show the value.
        Err(VarError::NotUnicode(_)) => Err(Error::new(
            ErrorKind::Caller,
            format!("{name} is no UTF-8 text"),
        )),
    }
}

/// An argument that is a UUID. The parser's own message quotes a character of what was given.
pub fn uuid(text: &str) -> Result<uuid::Uuid, &'static str> {
    text.parse().map_err(|_| "not a UUID")
}
