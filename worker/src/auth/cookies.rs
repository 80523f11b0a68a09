//! Cookies (RFC 6265bis). All of ours are `__Host-`, so no other host and no plain connection can set them.

use crate::error::{ClientError, Result};
use crate::ids::ConnectSessionId;

/// Holds the user's token.
pub const SESSION: &str = "__Host-session";
pub const REFRESH: &str = "__Host-session-refresh";
/// A sign-in at a provider that has begun: its PKCE verifier, and where the browser goes in the end.
pub const SIGN_IN: &str = "__Host-sign-in";
/// The most that browsers store, with name and attributes.
const COOKIE_MAX: usize = 4_000;
/// A longer Cookie header is not ours.
const HEADER_MAX: usize = 32 * 1024;

/// Binds a flow to the browser. The name contains the hash of the flow's state, so that several flows can be open.
pub fn flow_name(state_hash: &str) -> String {
    format!("__Host-flow-{}", state_hash.get(..16).unwrap_or(state_hash))
}

/// The same for a flow of a connect session, which needs no signed-in user.
pub fn session_flow_name(state_hash: &str) -> String {
    flow_name(state_hash).replace("-flow-", "-session-flow-")
}

/// Binds a connect session to the browser that opened its link.
pub fn connect_session_name(id: ConnectSessionId) -> String {
    format!("__Host-connect-{id}")
}

#[derive(Debug)]
pub struct Cookies<'a>(&'a str);

impl<'a> Cookies<'a> {
    pub fn parse(header: &'a str) -> Result<Self> {
        if header.len() > HEADER_MAX {
            return Err(ClientError::Invalid(
                "the Cookie header is too large; clear this site's cookies and sign in again",
            )
            .into());
        }
        Ok(Self(header))
    }

    /// A duplicate may have been injected (cookie tossing), so both are rejected.
    pub fn get(&self, name: &str) -> Result<Option<&'a str>> {
        let mut values = self
            .0
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            // Browsers compare the prefix without case (RFC 6265bis, 4.1.3), so a variant in case was injected.
            .filter(|(found, _)| found.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim());
        let value = values.next();
        if values.next().is_some() {
            return Err(
                ClientError::Invalid("the request contains a duplicate cookie; clear this site's cookies and sign in again").into(),
            );
        }
        Ok(value.filter(|value| !value.is_empty()))
    }
}

/// SameSite=Lax, because the provider's redirect back to us is a navigation from another site.
pub fn set(name: &str, value: &str, max_age_seconds: i64) -> Result<String> {
    if name.len() + value.len() > COOKIE_MAX {
        return Err(ClientError::Invalid(
            "the token is too large for a cookie; send it as a bearer token",
        )
        .into());
    }
    Ok(format!(
        "{name}={value}; Path=/; Max-Age={max_age_seconds}; Secure; HttpOnly; SameSite=Lax"
    ))
}

pub fn clear(name: &str) -> String {
    format!("{name}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(header: &'a str, name: &str) -> Result<Option<&'a str>> {
        Cookies::parse(header)?.get(name)
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        assert_eq!(
            get("a=b; __Host-session=x=y; c=d", SESSION).unwrap(),
            Some("x=y")
        );
        assert_eq!(get("a=b", SESSION).unwrap(), None);
        assert_eq!(get("__Host-session=", SESSION).unwrap(), None);
        assert_eq!(get("__Host-session-refresh=x", SESSION).unwrap(), None);
    }

    // threat model 29
    #[test]
    fn a_doubled_or_tossed_cookie_is_refused() {
        assert!(get("__Host-session=a; __Host-session=b", SESSION).is_err());
        assert!(get("__Host-session=a;__host-session=a", SESSION).is_err());
        assert!(Cookies::parse(&"x".repeat(HEADER_MAX + 1)).is_err());
    }

    #[test]
    fn a_cookie_is_bound_to_the_host_and_hidden_from_scripts() {
        assert_eq!(
            set("__Host-a", "b", 60).unwrap(),
            "__Host-a=b; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
        );
        assert!(set("__Host-a", &"x".repeat(COOKIE_MAX), 60).is_err());
        assert!(clear("__Host-a").contains("Max-Age=0"));
    }
}
