//! The authorization response (RFC 6749, 4.1.2; RFC 9207), as the browser brings it to the callback.

use crate::error::{ClientError, Result};
use crate::random::RandomToken;

/// A response that names its flow. Its code can be read only after the flow is consumed: [`AuthorizationResponse::answer`] needs the issuer
/// that the flow was started with.
pub struct AuthorizationResponse {
    pub state: RandomToken,
    outcome: Outcome,
    iss: Option<String>,
}

enum Outcome {
    Code(String),
    Declined,
    Error,
}

#[derive(Debug, PartialEq, Eq)]
pub enum AuthorizationOutcome {
    Code(String),
    Declined,
    /// The provider failed. Its own words are shown to nobody.
    Failed,
}

const CODE_MAX: usize = 4 * 1024;

impl AuthorizationResponse {
    /// Parses the callback's query. A duplicate parameter (RFC 6749, 3.1), a state that we did not issue, and a missing or oversized code are
    /// rejected at once.
    pub fn parse(query: &str) -> Result<Self> {
        let (mut state, mut code, mut error, mut iss) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match &*name {
                "state" => &mut state,
                "code" => &mut code,
                "error" => &mut error,
                "iss" => &mut iss,
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(ClientError::Invalid(
                    "the callback contains a duplicate parameter; start again",
                )
                .into());
            }
        }
        let state =
            state
                .and_then(|state| RandomToken::parse(&state))
                .ok_or(ClientError::Invalid(
                    "the callback has no valid state; start again",
                ))?;
        let outcome = match (error.as_deref(), code) {
            (Some("access_denied"), None) => Outcome::Declined,
            (Some(_), None) => Outcome::Error,
            (None, Some(code)) if !code.is_empty() && code.len() <= CODE_MAX => Outcome::Code(code),
            _ => {
                return Err(
                    ClientError::Invalid("the callback has no valid code; start again").into(),
                );
            }
        };
        Ok(Self {
            state,
            outcome,
            iss,
        })
    }

    /// Returns the answer if its issuer is the expected one (RFC 9207, 2.4). If the provider names no issuer, none is expected, and one that comes
    /// anyway proves nothing.
    pub fn answer(self, expected_issuer: Option<&str>) -> Result<AuthorizationOutcome> {
        if expected_issuer.is_some() && self.iss.as_deref() != expected_issuer {
            return Err(ClientError::WrongIssuer.into());
        }
        Ok(match self.outcome {
            Outcome::Code(code) => AuthorizationOutcome::Code(code),
            Outcome::Declined => AuthorizationOutcome::Declined,
            Outcome::Error => AuthorizationOutcome::Failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    // threat model 1
    #[test]
    fn without_a_state_there_is_no_response() {
        for query in [
            "",
            "code=x",
            "code=x&state=",
            "code=x&state=short",
            "state=&error=access_denied",
        ] {
            assert!(AuthorizationResponse::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_parameter_that_stands_twice_is_refused() {
        for extra in ["code=y", "iss=a&iss=a", "state=x", "error=a&error=b"] {
            assert!(
                AuthorizationResponse::parse(&format!("state={STATE}&code=x&{extra}")).is_err(),
                "{extra}"
            );
        }
    }

    // threat model 5
    #[test]
    fn the_issuer_must_be_the_one_asked_where_there_is_one() {
        let parse = |rest: &str| {
            AuthorizationResponse::parse(&format!("state={STATE}&code=x{rest}")).unwrap()
        };
        let asked = Some("https://as.example");
        assert_eq!(
            parse("&iss=https%3A%2F%2Fas.example")
                .answer(asked)
                .unwrap(),
            AuthorizationOutcome::Code("x".into())
        );
        assert!(parse("").answer(asked).is_err());
        assert!(parse("&iss=").answer(asked).is_err());
        assert!(
            parse("&iss=https%3A%2F%2Fas.example%2F")
                .answer(asked)
                .is_err()
        );
        assert_eq!(
            parse("&iss=whoever").answer(None).unwrap(),
            AuthorizationOutcome::Code("x".into())
        );
    }

    #[test]
    fn an_error_is_no_code() {
        let parse = |rest: &str| AuthorizationResponse::parse(&format!("state={STATE}&{rest}"));
        assert_eq!(
            parse("error=access_denied").unwrap().answer(None).unwrap(),
            AuthorizationOutcome::Declined
        );
        assert_eq!(
            parse("error=%3Cscript%3E").unwrap().answer(None).unwrap(),
            AuthorizationOutcome::Failed
        );
        assert!(parse("error=access_denied&code=x").is_err());
        assert!(parse("").is_err());
        assert!(parse(&format!("code={}", "x".repeat(CODE_MAX + 1))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_query_panics(query in "\\PC{0,200}") {
            let _ = AuthorizationResponse::parse(&query);
        }
    }
}
