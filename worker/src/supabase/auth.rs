//! Supabase Auth: sign in, renew, sign out, and the keys that its tokens are verified with.

use super::Project;
use crate::error::{Error, Refusal, Result};
use crate::http::{Inbound, Outbound};
use crate::json::{object, parse};
use sealed::Secret;
use serde_json::json;

object! {
    /// What a sign-in yields.
    pub struct Tokens {
        /// The user's token (a JWT).
        pub access_token: Secret,
        /// What renews it.
        pub refresh_token: Secret,
    }
}

/// Builds the sign-in by e-mail and password.
pub fn password_request(project: &Project, email: &str, password: &Secret) -> Outbound {
    let body = json!({"email": email, "password": password.expose()}).to_string();
    project.request(
        "POST",
        "/auth/v1/token?grant_type=password",
        &project.anon_key,
        None,
        Some(body),
    )
}

/// Builds the renewal of a session.
pub fn refresh_request(project: &Project, refresh_token: &Secret) -> Outbound {
    let body = json!({"refresh_token": refresh_token.expose()}).to_string();
    project.request(
        "POST",
        "/auth/v1/token?grant_type=refresh_token",
        &project.anon_key,
        None,
        Some(body),
    )
}

/// Reads the answer to either: 400 and 422 mean that the credentials are not good, 429 too many tries; 401 is about our API key.
pub fn read_tokens(answer: &Inbound) -> Result<Tokens> {
    match answer.status {
        200 if answer.is_json() => {
            parse(&answer.body).ok_or_else(|| Error::database_answer("sign-in: unexpected tokens"))
        }
        429 => Err(Refusal::TooManySignIns.into()),
        400 | 422 => Err(Refusal::BadCredentials.into()),
        status => Err(Error::refused("sign-in", status, &answer.body)),
    }
}

/// Builds the sign-out: Supabase Auth forgets this session's refresh token.
pub fn logout_request(project: &Project, access_token: &str) -> Outbound {
    project.request(
        "POST",
        "/auth/v1/logout?scope=local",
        &project.anon_key,
        Some(access_token),
        None,
    )
}

/// Builds the request for the project's public keys.
pub fn jwks_request(project: &Project) -> Outbound {
    project.request(
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

    fn answer(status: u16, body: &str) -> Inbound {
        Inbound {
            status,
            content_type: "application/json".into(),
            body: body.into(),
        }
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
            Err(Error::Caller(Refusal::BadCredentials))
        ));
        assert!(matches!(
            read_tokens(&answer(429, "{}")),
            Err(Error::Caller(Refusal::TooManySignIns))
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
