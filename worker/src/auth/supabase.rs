//! Supabase Auth: the requests for sign-in, refresh, sign-out and the signing keys, and their responses.

use crate::db::project::{ApiKey, Project};
use crate::error::{ClientError, Error, Result};
use crate::http::url::form;
use crate::http::{HttpRequest, HttpResponse};
use crate::json;
use sealed::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Deserialize)]
pub struct Tokens {
    /// A JWT.
    #[serde(deserialize_with = "json::secret")]
    pub access_token: Secret,
    #[serde(deserialize_with = "json::secret")]
    pub refresh_token: Secret,
}

/// The largest accepted response, in bytes: a user with all metadata, or the project's keys.
const LIMIT: u32 = 64 * 1024;
/// In bytes. Supabase Auth's is a UUID.
const CODE_MAX: usize = 512;
const PROVIDERS_MAX: usize = 30;

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

pub fn password_request(
    project: &Project,
    email: &str,
    password: &Secret,
    client: &str,
) -> HttpRequest {
    let body = json!({"email": email, "password": password.expose()}).to_string();
    forwarded(project, "/auth/v1/token?grant_type=password", client, body)
}

/// Supabase Auth sends a one-time code. The request creates no user.
pub fn code_request(project: &Project, email: &str, client: &str) -> HttpRequest {
    let body = json!({"email": email, "create_user": false}).to_string();
    forwarded(project, "/auth/v1/otp", client, body)
}

/// Reads the response. 400, 422 and 429 may mean that there is no such account, or that it got a code a moment ago: nobody learns which.
pub fn read_code_sent(answer: &HttpResponse) -> Result<()> {
    match answer.status {
        200 | 400 | 422 | 429 => Ok(()),
        status => Err(Error::refused("sign-in code", status, &answer.body)),
    }
}

pub fn verify_code_request(
    project: &Project,
    email: &str,
    code: &Secret,
    client: &str,
) -> HttpRequest {
    let body = json!({"type": "email", "email": email, "token": code.expose()}).to_string();
    forwarded(project, "/auth/v1/verify", client, body)
}

/// The link was sent by Supabase Auth, or made for an application (`generate_link`).
pub fn verify_link_request(project: &Project, token_hash: &Secret, client: &str) -> HttpRequest {
    let body = json!({"type": "email", "token_hash": token_hash.expose()}).to_string();
    forwarded(project, "/auth/v1/verify", client, body)
}

/// The address at which a sign-in by one of the project's OAuth providers begins.
pub fn sign_in_url(
    project: &Project,
    provider: &str,
    redirect_to: &str,
    challenge: &str,
) -> String {
    let query = form(&[
        ("provider", provider),
        ("redirect_to", redirect_to),
        ("code_challenge", challenge),
        ("code_challenge_method", "s256"),
    ]);
    format!("{}/auth/v1/authorize?{query}", project.url)
}

/// Builds the exchange of the code with which that sign-in ends.
pub fn exchange_request(
    project: &Project,
    code: &Secret,
    verifier: &str,
    client: &str,
) -> HttpRequest {
    let body = json!({"auth_code": code.expose(), "code_verifier": verifier}).to_string();
    forwarded(project, "/auth/v1/token?grant_type=pkce", client, body)
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Methods {
    /// By password, and by a code sent by e-mail.
    pub email: bool,
    /// By Supabase's names.
    pub providers: Vec<String>,
}

pub fn settings_request(project: &Project) -> HttpRequest {
    request(
        project,
        "GET",
        "/auth/v1/settings",
        &project.anon_key,
        None,
        None,
    )
}

pub fn read_methods(answer: &HttpResponse) -> Result<Methods> {
    #[derive(Deserialize)]
    struct Settings {
        external: BTreeMap<String, Value>,
    }
    // These have no page at which one signs in.
    const OTHERS: [&str; 3] = ["email", "phone", "anonymous_users"];
    if answer.status != 200 || !answer.is_json() {
        return Err(Error::refused(
            "sign-in methods",
            answer.status,
            &answer.body,
        ));
    }
    let settings: Settings = serde_json::from_str(&answer.body)
        .map_err(|_| Error::database_answer("sign-in methods: unexpected settings"))?;
    let is_on = |name: &str| settings.external.get(name) == Some(&Value::Bool(true));
    let names = settings.external.keys().map(String::as_str);
    let providers = names.filter(|name| is_on(name) && !OTHERS.contains(name) && is_provider(name));
    Ok(Methods {
        email: is_on("email"),
        providers: providers.take(PROVIDERS_MAX).map(str::to_owned).collect(),
    })
}

pub fn is_provider(name: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_:-".contains(&b);
    (1..=60).contains(&name.len()) && name.bytes().all(of_name)
}

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

/// Reads the response to any of these. 400 and 422 mean wrong credentials, and so do 403 and 404 with a code that says so; 429 too many attempts;
/// 401 is about our API key.
pub fn read_tokens(answer: &HttpResponse) -> Result<Tokens> {
    match answer.status {
        200 if answer.is_json() => serde_json::from_str(&answer.body)
            .map_err(|_| Error::database_answer("sign-in: unexpected tokens")),
        429 => Err(ClientError::TooManySignIns { seconds: 60 }.into()),
        400 | 422 => Err(ClientError::BadCredentials.into()),
        403 | 404 if is_spent(&answer.body) => Err(ClientError::BadCredentials.into()),
        status => Err(Error::refused("sign-in", status, &answer.body)),
    }
}

/// Whether Supabase Auth does not know the code, or no longer. It names the reason in `error_code`, or in `code` (its API of 2024).
fn is_spent(body: &str) -> bool {
    const CODES: [&str; 3] = ["otp_expired", "flow_state_not_found", "flow_state_expired"];
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let mut named = ["error_code", "code"]
        .into_iter()
        .filter_map(|name| body.get(name)?.as_str());
    named.any(|code| CODES.contains(&code))
}

/// Supabase Auth deletes this session's refresh token.
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

/// The code in the query of a sign-in's callback, if it is one that Supabase Auth can have issued.
pub fn callback_code(query: &str) -> Option<Secret> {
    let mut codes = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "code");
    let (Some((_, code)), None) = (codes.next(), codes.next()) else {
        return None;
    };
    let fine = code.len() <= CODE_MAX && code.bytes().all(|b| b.is_ascii_graphic());
    fine.then(|| Secret::from(code.into_owned()))
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
        for body in [
            r#"{"code":403,"error_code":"otp_expired"}"#,
            r#"{"code":"flow_state_not_found"}"#,
        ] {
            assert!(matches!(
                read_tokens(&answer(403, body)),
                Err(Error::Client(ClientError::BadCredentials))
            ));
        }
        assert!(matches!(
            read_tokens(&answer(403, "{}")),
            Err(Error::Database { .. })
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

    #[test]
    fn the_ways_to_sign_in_are_those_that_are_on_and_have_a_page() {
        let read = |external: &str| {
            let mut answer = answer(
                200,
                &format!(r#"{{"external":{external},"disable_signup":false}}"#),
            );
            answer.content_type = "application/json".to_owned();
            read_methods(&answer).unwrap()
        };
        let methods = read(
            r#"{"email":true,"phone":true,"anonymous_users":true,"google":true,"azure":false,"linkedin_oidc":true,"new":1,"A b":true}"#,
        );
        assert_eq!(
            (methods.email, methods.providers),
            (true, vec!["google".to_owned(), "linkedin_oidc".to_owned()])
        );
        assert_eq!(
            read("{}"),
            Methods {
                email: false,
                providers: Vec::new()
            }
        );
        assert!(read_methods(&answer(200, "{}")).is_err());
        assert!(read_methods(&answer(503, "")).is_err());
    }

    // Threat model 130.
    #[test]
    fn whether_a_code_was_sent_is_told_to_nobody() {
        for status in [200, 400, 422, 429] {
            assert!(read_code_sent(&answer(status, "{}")).is_ok(), "{status}");
        }
        for status in [401, 500] {
            assert!(read_code_sent(&answer(status, "{}")).is_err(), "{status}");
        }
    }

    #[test]
    fn a_code_is_short_printable_and_given_once() {
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(
            callback_code(&format!("a=b&code={id}")).unwrap().expose(),
            id
        );
        let long = format!("code={}", "x".repeat(CODE_MAX + 1));
        for wrong in ["", "code=a&code=b", "code=a%00b", "code=a%20b", &long] {
            assert!(callback_code(wrong).is_none(), "{wrong:.40}");
        }
    }
}
