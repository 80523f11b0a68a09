//! Authentication: a token of Supabase Auth, from the Authorization header or the session's cookie, or a service key.

pub mod attempts;
pub mod caller;
pub mod cookies;
pub mod jwks;
pub mod jwt;
pub mod origin;
pub mod service_key;
#[cfg(target_arch = "wasm32")]
pub mod sign_in;
#[cfg(target_arch = "wasm32")]
pub mod sign_in_code;
#[cfg(target_arch = "wasm32")]
pub mod sign_in_methods;
#[cfg(target_arch = "wasm32")]
pub mod sign_in_redirect;
pub mod supabase;
#[cfg(target_arch = "wasm32")]
pub mod verify;

use crate::error::{ClientError, Result};
use crate::http::RequestHead;
use cookies::Cookies;

/// Not verified yet.
pub struct RequestToken {
    pub token: String,
    /// The browser adds a cookie by itself, so the request must prove that our own page made it.
    pub from_cookie: bool,
}

/// An Authorization header wins over the cookie, because a page of another site cannot set one.
pub fn token_of(head: &RequestHead, cookies: &Cookies<'_>) -> Result<RequestToken> {
    if !head.authorization.is_empty() {
        let (scheme, token) = head
            .authorization
            .split_once(' ')
            .ok_or(ClientError::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ClientError::Unauthorized.into());
        }
        return Ok(RequestToken {
            token: token.trim().to_owned(),
            from_cookie: false,
        });
    }
    let token = cookies
        .get(cookies::SESSION)?
        .ok_or(ClientError::Unauthorized)?;
    Ok(RequestToken {
        token: token.to_owned(),
        from_cookie: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(authorization: &str, cookie: &str) -> Result<RequestToken> {
        let head = RequestHead {
            authorization: authorization.into(),
            cookie: cookie.into(),
            ..RequestHead::default()
        };
        token_of(&head, &Cookies::parse(&head.cookie)?)
    }

    #[test]
    fn bearer_wins_over_the_cookie() {
        let both = token("bearer a", "__Host-session=b").unwrap();
        assert!(both.token == "a" && !both.from_cookie);
        let cookie = token("", "x=y; __Host-session=b").unwrap();
        assert!(cookie.token == "b" && cookie.from_cookie);
        for wrong in ["Basic a", "a", "Bearer"] {
            assert!(token(wrong, "__Host-session=b").is_err(), "{wrong}");
        }
        assert!(token("", "").is_err());
    }
}
