//! The Supabase project.
//!
//! The service key calls the database's functions only. What a user sees is read with the user's own token, so that
//! row level security decides.

use crate::http::HttpRequest;

pub use platform::project::{ApiKey, Role};

/// A Supabase project and the keys to it.
#[derive(Debug)]
pub struct Project {
    /// Its origin.
    pub url: String,
    /// The key that goes with a user's token.
    pub anon_key: ApiKey,
    /// The key that passes row level security.
    pub service_key: ApiKey,
}

impl Project {
    /// A request with a key, and with the user's token if there is one.
    pub fn request(
        &self,
        method: &'static str,
        path: &str,
        key: &ApiKey,
        user_token: Option<&str>,
        body: Option<String>,
    ) -> HttpRequest {
        platform::project::request(&self.url, method, path, key, user_token, body)
    }
}
