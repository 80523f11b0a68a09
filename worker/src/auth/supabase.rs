//! Supabase Auth: the requests for sign-in, refresh, sign-out and the signing keys, and their responses.

use crate::db::project::{ApiKey, Project};
use crate::error::{ClientError, Error, Result};
use crate::http::{HttpRequest, HttpResponse};
use crate::json;
use sealed::Secret;
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;

/// The tokens of a session.
#[derive(Deserialize)]
pub struct Tokens {
    /// The user's token (a JWT).
    #[serde(deserialize_with = "json::secret")]
    pub access_token: Secret,
    /// The refresh token.
    #[serde(deserialize_with = "json::secret")]
    pub refresh_token: Secret,
}

/// The largest accepted response, in bytes: a user with all metadata, or the project's keys.
const LIMIT: u32 = 64 * 1024;

fn request(
    project: &Project,
    method: &'static str,
    path: &str,
    key: &ApiKey,
    user_token: Option<&str>,
    body: Option<String>,
) -> HttpRequest {
    HttpRequest {
        limit: LIMIT,
        ..project.request(method, path, key, user_token, body)
    }
}

/// Builds the sign-in with e-mail and password.
pub fn password_request(
    project: &Project,
    email: &str,
    password: &Secret,
    client: &str,
) -> HttpRequest {
    let body = json!({"email": email, "password": password.expose()}).to_string();
    forwarded(project, "/auth/v1/token?grant_type=password", client, body)
}

/// Builds the refresh of a session.
pub fn refresh_request(project: &Project, refresh_token: &Secret, client: &str) -> HttpRequest {
    let body = json!({"refresh_token": refresh_token.expose()}).to_string();
    let path = "/auth/v1/token?grant_type=refresh_token";
    forwarded(project, path, client, body)
}

/// Names the client's address in a request, so that Supabase Auth rate-limits the client and not the worker. Supabase accepts
/// Sb-Forwarded-For with a secret key only; without one it sees the worker's address.
fn forwarded(project: &Project, path: &str, client: &str, body: String) -> HttpRequest {
    let address: Option<IpAddr> = client.trim().parse().ok();
    match (&project.service_key, address) {
        (key @ ApiKey::Opaque(_), Some(address)) => {
            let mut request = request(project, "POST", path, key, None, Some(body));
            let header = ("sb-forwarded-for", address.to_string());
            request.headers.push(header);
            request
        }
        _ => request(project, "POST", path, &project.anon_key, None, Some(body)),
    }
}

/// Reads the response to either. 400 and 422 mean wrong credentials, 429 too many attempts; 401 is about our API key.
pub fn read_tokens(answer: &HttpResponse) -> Result<Tokens> {
    match answer.status {
        200 if answer.is_json() => serde_json::from_str(&answer.body)
            .map_err(|_| Error::database_answer("sign-in: unexpected tokens")),
        429 => Err(ClientError::TooManySignIns { seconds: 60 }.into()),
        400 | 422 => Err(ClientError::BadCredentials.into()),
        status => Err(Error::refused("sign-in", status, &answer.body)),
    }
}

/// Builds the sign-out. Supabase Auth deletes this session's refresh token.
pub fn logout_request(project: &Project, access_token: &str) -> HttpRequest {
    request(
        project,
        "POST",
        "/auth/v1/logout?scope=local",
        &project.anon_key,
        Some(access_token),
        None,
    )
}

pub fn jwks_request(project: &Project) -> HttpRequest {
    request(
        project,
        "GET",
        "/auth/v1/.well-known/jwks.json",
        &project.anon_key,
        None,
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{complete, read as settings};

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse {
            status,
            content_type: "application/json".into(),
            body: body.into(),
        }
    }

    // Threat model 108.
    #[test]
    fn the_clients_address_goes_along_with_a_secret_key_and_with_no_other() {
        let mut settings = settings(&complete()).unwrap();
        let header = |request: HttpRequest, wanted: &str| {
            let mut headers = request.headers.into_iter();
            headers
                .find(|(name, _)| *name == wanted)
                .map(|header| header.1)
        };
        let request = |project: &Project, client: &str| {
            password_request(project, "a@example.com", &"p".to_owned().into(), client)
        };
        let project = &mut settings.supabase;
        project.service_key = ApiKey::Opaque("sb_secret_x".to_owned().into());
        let sent = |client| header(request(project, client), "sb-forwarded-for");
        assert_eq!(sent("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(sent("2001:DB8::1").as_deref(), Some("2001:db8::1"));
        for client in ["", "unknown", "192.0.2.7, 10.0.0.1", "192.0.2.7\nx: y"] {
            assert_eq!(sent(client), None, "{client}");
        }
        let key = |client| header(request(project, client), "apikey");
        assert_eq!(key("192.0.2.7").as_deref(), Some("sb_secret_x"));
        assert_eq!(key("").as_deref(), Some(project.anon_key.expose()));
        let renewal = refresh_request(project, &"r".to_owned().into(), "192.0.2.7");
        assert_eq!(
            header(renewal, "sb-forwarded-for").as_deref(),
            Some("192.0.2.7")
        );
        project.service_key = ApiKey::Jwt("jwt".to_owned().into());
        let request = request(project, "192.0.2.7");
        assert!(
            request
                .headers
                .iter()
                .all(|(name, value)| *name != "sb-forwarded-for" && !value.contains("jwt"))
        );
    }

    #[test]
    fn the_answer_tells_wrong_credentials_from_a_fault() {
        assert_eq!(
            read_tokens(&answer(200, r#"{"access_token":"a","refresh_token":"b"}"#))
                .unwrap()
                .access_token
                .expose(),
            "a"
        );
        assert!(matches!(
            read_tokens(&answer(400, "{}")),
            Err(Error::Client(ClientError::BadCredentials))
        ));
        assert!(matches!(
            read_tokens(&answer(429, "{}")),
            Err(Error::Client(ClientError::TooManySignIns { .. }))
        ));
        assert!(matches!(
            read_tokens(&answer(401, "{}")),
            Err(Error::Database { .. })
        ));
        assert!(matches!(
            read_tokens(&answer(500, "{}")),
            Err(Error::Database { .. })
        ));
        assert!(matches!(
            read_tokens(&answer(200, "{}")),
            Err(Error::Database { .. })
        ));
    }
}
