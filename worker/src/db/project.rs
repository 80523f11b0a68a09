//! The Supabase project.
//!
//! The project's secret key calls the database's functions. What a user sees is read with the user's own token, so that row level security
//! decides; what a program sees, from the views for services, which decide by its key.

use crate::http::HttpRequest;
use crate::ids::ServiceKeyId;

pub use platform::project::{ApiKey, Role};

/// A Supabase project and the keys to it.
#[derive(Debug)]
pub struct Project {
    pub url: String,
    /// The key that goes with a user's token.
    pub anon_key: ApiKey,
    /// The key that passes row level security.
    pub service_key: ApiKey,
}

#[derive(Debug)]
pub enum Reader {
    /// A user, by their own token.
    User(String),
    /// A program, by its key.
    ServiceKey(ServiceKeyId),
}

/// Where the views for services find the key.
const SERVICE_KEY: &str = "x-service-key-id";

impl Project {
    /// A request for rows: `query` is the name of a table or view and its parameters.
    pub fn read(&self, reader: &Reader, query: &str) -> HttpRequest {
        match reader {
            Reader::User(token) => {
                let path = format!("/rest/v1/{query}");
                self.request("GET", &path, &self.anon_key, Some(token), None)
            }
            Reader::ServiceKey(id) => {
                let path = format!("/rest/v1/service_{query}");
                let mut request = self.request("GET", &path, &self.service_key, None, None);
                request.headers.push((SERVICE_KEY, id.to_string()));
                request
            }
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{complete, read};

    // Threat model 211.
    #[test]
    fn a_program_reads_the_views_for_services_and_names_its_key() {
        let settings = read(&complete()).unwrap();
        let project = &settings.supabase;
        let header = |request: &HttpRequest, name: &str| {
            let mut headers = request.headers.iter();
            let found = headers.find(|(other, _)| *other == name);
            found.map(|(_, value)| value.clone())
        };
        let user = project.read(&Reader::User("t".to_owned()), "integrations?select=id");
        assert!(user.url.ends_with("/rest/v1/integrations?select=id"));
        assert_eq!(header(&user, "authorization").as_deref(), Some("Bearer t"));
        assert_eq!(
            header(&user, "apikey").as_deref(),
            Some(project.anon_key.expose())
        );
        assert_eq!(header(&user, "x-service-key-id"), None);
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let key = Reader::ServiceKey(ServiceKeyId::parse(id).unwrap());
        let program = project.read(&key, "integrations?select=id");
        assert!(
            program
                .url
                .ends_with("/rest/v1/service_integrations?select=id")
        );
        assert_eq!(header(&program, "x-service-key-id").as_deref(), Some(id));
        assert_eq!(
            header(&program, "apikey").as_deref(),
            Some(project.service_key.expose())
        );
    }
}
