//! This worker as a client of a provider, and how its requests are written.

use crate::http::url::form;
use crate::http::{HttpRequest, HttpResponse};
use crate::oauth::response::body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use catalogue::{ClientAuth, Encoding, Headers, Provider};
use sealed::Secret;
use serde_json::{Map, Value};

/// This worker as a client of one provider.
#[derive(Debug)]
pub struct Client {
    /// The provider, with its endpoints where the settings want them.
    pub provider: Provider,
    pub id: String,
    pub secret: Secret,
    /// The app's other secret, while it is being changed: for requests whose client the provider rejects (`send`).
    pub fallback_secret: Option<Secret>,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
}

/// How long a provider may take, in milliseconds: some take 15 seconds over a token.
const TIMEOUT_MS: u32 = 20_000;

impl Client {
    /// The client with its fallback secret, if it has one.
    pub fn with_fallback_secret(&self) -> Option<Self> {
        let copy = |secret: &Secret| Secret::from(secret.expose().to_owned());
        Some(Self {
            provider: self.provider.clone(),
            id: self.id.clone(),
            secret: self.fallback_secret.as_ref().map(copy)?,
            fallback_secret: None,
            redirect_uri: self.redirect_uri.clone(),
        })
    }

    /// Whether the provider rejects the client and not what the client presents: `invalid_client` (RFC 6749, 5.2), GitHub's and Slack's own code
    /// for it, or 401 without a code.
    pub fn is_rejected(&self, answer: &HttpResponse) -> bool {
        const CODES: [&str; 3] = [
            "invalid_client",
            "incorrect_client_credentials",
            "bad_client_secret",
        ];
        if !matches!(answer.status, 200 | 400..=499) || answer.status == 429 {
            return false;
        }
        let body = body(&self.provider, answer);
        match body.as_ref().and_then(|body| body.get("error")?.as_str()) {
            Some(code) => CODES.contains(&code),
            None => answer.status == 401,
        }
    }

    /// A request to one of the provider's own OAuth endpoints, with client authentication (RFC 6749, 2.3.1).
    pub(super) fn authenticated(&self, url: &str, fields: &[(&str, &str)]) -> HttpRequest {
        let provider = &self.provider;
        let mut fields = fields.to_vec();
        let mut request = self.post(url);
        match provider.client_auth {
            ClientAuth::ClientSecretBasic | ClientAuth::ClientSecretBasicRaw => {
                request.headers.push(("authorization", self.basic()))
            }
            ClientAuth::ClientSecretPost => fields.extend([
                ("client_id", self.id.as_str()),
                ("client_secret", self.secret.expose()),
            ]),
        }
        match provider.token_request_format {
            Encoding::Form => with_form(request, &fields),
            Encoding::Json => with_json(request, &fields),
        }
    }

    /// A POST without body.
    pub(super) fn post(&self, url: &str) -> HttpRequest {
        post(&self.provider, url)
    }

    /// HTTP Basic. Both halves are form-encoded first (RFC 6749, 2.3.1), unless the entry says that the server does not decode them.
    pub(super) fn basic(&self) -> String {
        let is_raw = self.provider.client_auth == ClientAuth::ClientSecretBasicRaw;
        let encode = |text: &str| match is_raw {
            true => text.to_owned(),
            false => form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        };
        let (id, secret) = (encode(&self.id), encode(self.secret.expose()));
        format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))
    }
}

/// A POST to a provider, without body.
pub(super) fn post(provider: &Provider, url: &str) -> HttpRequest {
    let mut request = HttpRequest {
        method: "POST",
        url: url.to_owned(),
        headers: vec![("accept", "application/json".to_owned())],
        body: None,
        timeout_ms: TIMEOUT_MS,
        limit: 64 * 1024,
    };
    set_headers(&mut request, &provider.headers);
    request
}

/// The headers of an entry; each takes the place of ours.
pub(super) fn set_headers(request: &mut HttpRequest, headers: &Headers) {
    for (name, value) in headers {
        request.headers.retain(|(known, _)| *known != name.as_str());
        request.headers.push((name.as_str(), value.clone()));
    }
}

/// A token that has just been given out, as Bearer (RFC 6750, 2.1).
pub(super) fn with_bearer(mut request: HttpRequest, token: &Secret) -> HttpRequest {
    let value = format!("Bearer {}", token.expose());
    request.headers.push(("authorization", value));
    request
}

pub(super) fn with_form(request: HttpRequest, fields: &[(&str, &str)]) -> HttpRequest {
    with_body(request, "application/x-www-form-urlencoded", form(fields))
}

pub(super) fn with_json(request: HttpRequest, fields: &[(&str, &str)]) -> HttpRequest {
    let mut body = Map::new();
    for (name, value) in fields {
        body.insert((*name).to_owned(), Value::from(*value));
    }
    with_body(request, "application/json", Value::Object(body).to_string())
}

fn with_body(mut request: HttpRequest, media: &str, body: String) -> HttpRequest {
    request.headers.push(("content-type", media.to_owned()));
    request.body = Some(body);
    request
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn client(kind: &str) -> Client {
        let provider = crate::providers::all()
            .unwrap()
            .into_iter()
            .find(|provider| provider.kind == kind)
            .unwrap();
        Client {
            redirect_uri: format!("https://edge.example/api/auth/callback/{kind}"),
            provider,
            id: "client id".to_owned(),
            secret: "planted:secret".to_owned().into(),
            fallback_secret: None,
        }
    }

    #[test]
    fn basic_authentication_encodes_both_halves() {
        let request = client("supabase").authenticated("https://x/token", &[("a", "b&c")]);
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

    // Servers such as Authlib's compare what they decode from Base64 and nothing more.
    #[test]
    fn basic_authentication_is_sent_unencoded_where_the_entry_says_so() {
        let mut client = client("supabase");
        client.provider.client_auth = ClientAuth::ClientSecretBasicRaw;
        let request = client.authenticated("https://x/token", &[("a", "b&c")]);
        let header = request
            .headers
            .iter()
            .find(|(name, _)| *name == "authorization");
        let encoded = header.unwrap().1.strip_prefix("Basic ").unwrap();
        assert_eq!(
            BASE64_STANDARD.decode(encoded).unwrap(),
            b"client id:planted:secret"
        );
        assert_eq!(request.body.as_deref(), Some("a=b%26c"));
    }

    #[test]
    fn a_body_is_json_where_the_provider_wants_it_and_its_headers_are_sent() {
        let request = client("notion").authenticated("https://x/token", &[("a", "b\"c")]);
        let header = |wanted| {
            let mut found = request.headers.iter().filter(|(name, _)| *name == wanted);
            let value = found.next().map(|(_, value)| value.as_str());
            assert!(found.next().is_none(), "{wanted} stands twice");
            value
        };
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("notion-version"), Some("2025-09-03"));
        assert!(header("authorization").is_some());
        assert_eq!(request.body.as_deref(), Some(r#"{"a":"b\"c"}"#));
    }

    #[test]
    fn post_authentication_stands_in_the_body_only() {
        let request = client("gitlab").authenticated("https://x/token", &[("a", "b")]);
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

    #[test]
    fn a_rejected_client_is_told_from_a_rejected_token() {
        let rejected = |kind: &str, status, body: &str| {
            client(kind).is_rejected(&HttpResponse {
                status,
                content_type: "application/json".to_owned(),
                body: body.to_owned(),
            })
        };
        for (kind, status, body) in [
            ("supabase", 401, r#"{"error":"invalid_client"}"#),
            ("supabase", 400, r#"{"error":"invalid_client"}"#),
            ("supabase", 401, r#"{"message":"Unauthorized"}"#),
            ("supabase", 401, ""),
            ("github", 200, r#"{"error":"incorrect_client_credentials"}"#),
            ("slack", 200, r#"{"ok":false,"error":"bad_client_secret"}"#),
        ] {
            assert!(rejected(kind, status, body), "{kind} {status} {body}");
        }
        for (kind, status, body) in [
            ("supabase", 400, r#"{"error":"invalid_grant"}"#),
            ("supabase", 401, r#"{"error":"invalid_grant"}"#),
            ("supabase", 429, r#"{"error":"invalid_client"}"#),
            ("supabase", 500, r#"{"error":"invalid_client"}"#),
            ("supabase", 400, ""),
            ("supabase", 200, r#"{"access_token":"a"}"#),
        ] {
            assert!(!rejected(kind, status, body), "{kind} {status} {body}");
        }
    }

    #[test]
    fn the_fallback_secret_takes_the_place_of_the_secret_once() {
        let mut client = client("supabase");
        assert!(client.with_fallback_secret().is_none());
        client.fallback_secret = Some("planted:other".to_owned().into());
        let other = client.with_fallback_secret().unwrap();
        assert_eq!(other.secret.expose(), "planted:other");
        assert!(other.with_fallback_secret().is_none());
    }
}
