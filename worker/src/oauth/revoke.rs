//! Taking a grant back at the provider (RFC 7009, or the provider's own form of it).

use super::Client;
use crate::http::{Inbound, Outbound, SendError};
use crate::providers::RevocationStyle;
use sealed::Secret;
use serde::{Serialize, Serializer};
use serde_json::json;

/// What the provider said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The grant is gone.
    Yes,
    /// It may still stand: the provider failed, or there was nothing left to revoke it with.
    No,
    /// The provider has no such endpoint.
    Unsupported,
}

impl Revoked {
    /// As the database's event has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "true",
            Self::No => "false",
            Self::Unsupported => "unsupported",
        }
    }
}

impl Serialize for Revoked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Yes => serializer.serialize_bool(true),
            Self::No => serializer.serialize_bool(false),
            Self::Unsupported => serializer.serialize_str("unsupported"),
        }
    }
}

/// Builds the request; None where the provider has no revocation endpoint. The refresh token stands for the whole grant
/// (RFC 7009, 2.1); an access token is revoked only where there is no other.
pub fn request(
    client: &Client,
    access_token: Option<&Secret>,
    refresh_token: Option<&Secret>,
) -> Result<Outbound, Revoked> {
    let revocation = client
        .provider
        .revocation
        .as_ref()
        .ok_or(Revoked::Unsupported)?;
    match revocation.style {
        RevocationStyle::Rfc7009 => {
            let (token, hint) = match (refresh_token, access_token) {
                (Some(token), _) => (token, "refresh_token"),
                (None, Some(token)) => (token, "access_token"),
                (None, None) => return Err(Revoked::No),
            };
            Ok(client.form_request(
                &revocation.url,
                &[("token", token.expose()), ("token_type_hint", hint)],
            ))
        }
        RevocationStyle::Json => {
            let token = refresh_token.ok_or(Revoked::No)?;
            let body = json!({"client_id": client.id, "client_secret": client.secret.expose(), "refresh_token": token.expose()});
            Ok(Outbound {
                method: "POST",
                url: revocation.url.clone(),
                headers: vec![
                    ("accept", "application/json".to_owned()),
                    ("content-type", "application/json".to_owned()),
                ],
                body: Some(body.to_string()),
                // A user waits for this; the row goes whatever the provider says.
                timeout_ms: 8_000,
                limit: 64 * 1024,
            })
        }
    }
}

/// Reads the answer: 200 (RFC 7009, 2.2) or, at Supabase, 204.
pub fn read(answer: &Result<Inbound, SendError>) -> Revoked {
    match answer {
        Ok(answer) if matches!(answer.status, 200 | 204) => Revoked::Yes,
        _ => Revoked::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::client;

    #[test]
    fn supabase_takes_json_and_the_standard_a_form() {
        let token = Secret::from("planted".to_owned());
        let json = request(&client("supabase"), None, Some(&token))
            .unwrap()
            .body
            .unwrap();
        assert_eq!(
            json,
            r#"{"client_id":"client id","client_secret":"planted:secret","refresh_token":"planted"}"#
        );
        let form = request(&client("gitlab"), Some(&token), None)
            .unwrap()
            .body
            .unwrap();
        assert!(form.starts_with("token=planted&token_type_hint=access_token"));
    }

    #[test]
    fn what_cannot_be_revoked_is_said() {
        let mut without = client("gitlab");
        assert_eq!(request(&without, None, None).unwrap_err(), Revoked::No);
        without.provider.revocation = None;
        assert_eq!(
            request(&without, None, None).unwrap_err(),
            Revoked::Unsupported
        );
        let answer = |status| {
            Ok(Inbound {
                status,
                content_type: String::new(),
                body: String::new(),
            })
        };
        assert_eq!(read(&answer(204)), Revoked::Yes);
        assert_eq!(read(&answer(400)), Revoked::No);
        assert_eq!(read(&Err(SendError::Timeout)), Revoked::No);
    }
}
