//! The client's side of OAuth 2.0 as RFC 9700 wants it: authorization code, PKCE with S256, `state`, and `iss`. Each step is a
//! pair of plain functions: build the request, read the response.

pub mod authorize;
pub mod callback;
pub mod identity;
pub mod refresh;
pub mod revoke;
pub mod token;

pub use identity::Account;
pub use token::Grant;

use crate::http::Outbound;
use crate::providers::{ClientAuth, Provider};
use crate::url::form;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sealed::Secret;

/// This worker as a client of one provider.
#[derive(Debug)]
pub struct Client {
    /// The provider, with its endpoints where the settings want them.
    pub provider: Provider,
    /// The client identifier.
    pub id: String,
    /// The client secret.
    pub secret: Secret,
    /// The issuer that callbacks must name (RFC 9207), where the provider names one.
    pub issuer: Option<String>,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
}

/// How long a provider may take, in milliseconds: some take 15 seconds over a token.
const TIMEOUT_MS: u32 = 20_000;

impl Client {
    /// A form to one of the provider's endpoints, with client authentication (RFC 6749, 2.3.1).
    fn form_request(&self, url: &str, fields: &[(&str, &str)]) -> Outbound {
        let mut fields = fields.to_vec();
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            (
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            ),
        ];
        match self.provider.client_auth {
            ClientAuth::Basic => headers.push(("authorization", self.basic())),
            ClientAuth::Post => fields.extend([
                ("client_id", self.id.as_str()),
                ("client_secret", self.secret.expose()),
            ]),
        }
        Outbound {
            method: "POST",
            url: url.to_owned(),
            headers,
            body: Some(form(&fields)),
            timeout_ms: TIMEOUT_MS,
            limit: 64 * 1024,
        }
    }

    /// HTTP Basic: both halves are form-encoded first (RFC 6749, 2.3.1).
    fn basic(&self) -> String {
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        format!(
            "Basic {}",
            BASE64_STANDARD.encode(format!(
                "{}:{}",
                encode(&self.id),
                encode(self.secret.expose())
            ))
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn client(kind: &str) -> Client {
        let provider = Provider::catalogue()
            .unwrap()
            .into_iter()
            .find(|provider| provider.kind == kind)
            .unwrap();
        Client {
            redirect_uri: format!("https://edge.example/api/auth/callback/{kind}"),
            provider,
            id: "client id".to_owned(),
            secret: "planted:secret".to_owned().into(),
            issuer: None,
        }
    }

    #[test]
    fn basic_authentication_encodes_both_halves() {
        let request = client("supabase").form_request("https://x/token", &[("a", "b&c")]);
        let authorization = &request
            .headers
            .iter()
            .find(|(name, _)| *name == "authorization")
            .unwrap()
            .1;
        let decoded = BASE64_STANDARD
            .decode(authorization.strip_prefix("Basic ").unwrap())
            .unwrap();
        assert_eq!(decoded, b"client+id:planted%3Asecret");
        assert_eq!(request.body.as_deref(), Some("a=b%26c"));
    }

    #[test]
    fn post_authentication_stands_in_the_body_only() {
        let request = client("gitlab").form_request("https://x/token", &[("a", "b")]);
        assert!(
            request
                .headers
                .iter()
                .all(|(name, _)| *name != "authorization")
        );
        assert_eq!(
            request.body.as_deref(),
            Some("a=b&client_id=client+id&client_secret=planted%3Asecret")
        );
    }
}
