//! Requests and responses as plain data, so that everything but `host` runs natively.

pub mod query;
pub mod rate_limit;
pub mod url;

pub use platform::http::{HttpRequest, HttpResponse, SendError};

use crate::error::{ClientError, Error};
use serde::Serialize;

/// The largest request body that is read, in bytes.
pub const BODY_LIMIT: usize = 16 * 1024;

/// How many requests to others the schedule sends side by side. Cloudflare opens six connections for an invocation; one is the database's.
pub const LANES: usize = 5;

/// The HTTP methods that some route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET; HEAD is served as GET, and the runtime drops the body.
    Get,
    Post,
    Put,
    Patch,
    Delete,
    /// Any other: no route takes it.
    Other,
}

impl Method {
    pub fn parse(name: &str) -> Self {
        match name {
            "GET" | "HEAD" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other => "",
        }
    }

    /// The names that the Allow header has for it: HEAD is served as GET.
    pub fn allow(self) -> impl Iterator<Item = &'static str> {
        let head = (self == Self::Get).then_some("HEAD");
        std::iter::once(self.name()).chain(head)
    }

    /// Whether a request with it may change something (RFC 9110, 9.2.1).
    pub fn is_unsafe(self) -> bool {
        self != Self::Get
    }

    /// Whether a request with it has a body here.
    pub fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// What the worker looks at in a request: the request line and the headers that matter. An absent header and an empty one are
/// the same here.
pub struct RequestHead {
    pub method: Method,
    /// The path, as it came (percent-encoded).
    pub path: String,
    /// The query without its question mark.
    pub query: String,
    pub authorization: String,
    pub cookie: String,
    pub origin: String,
    pub content_type: String,
    pub accept: String,
    pub fetch_site: String,
    /// CF-Connecting-IP: the client's address, which Cloudflare sets on every request.
    pub address: String,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self::parse("GET\nhttp://localhost/\n\n\n\n\n\n\n")
    }
}

impl RequestHead {
    /// Reads the lines that `glue.js` joins: method, URL, then seven headers. A header cannot hold a line break
    /// (RFC 9110, 5.5), nor can a URL, so nothing needs escaping.
    pub fn parse(lines: &str) -> Self {
        let mut lines = lines.split('\n');
        let mut next = || lines.next().unwrap_or_default().to_owned();
        let method = Method::parse(&next());
        let url = next();
        let (path, query) = split_url(&url);
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            authorization: next(),
            cookie: next(),
            origin: next(),
            content_type: next(),
            accept: next(),
            fetch_site: next(),
            address: next(),
        }
    }

    /// Whether the caller is a browser that shows a page.
    pub fn wants_html(&self) -> bool {
        self.accept.contains("text/html")
    }

    /// Whether the body is declared to be JSON.
    pub fn is_json(&self) -> bool {
        let essence = self
            .content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        essence.eq_ignore_ascii_case("application/json")
    }
}

/// Path and query of an absolute URL that the runtime has already normalised.
fn split_url(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.find('/').map_or("/", |slash| &rest[slash..]);
    let rest = rest.split('#').next().unwrap_or(rest);
    rest.split_once('?').unwrap_or((rest, ""))
}

/// A body's media type. `glue.js` holds the headers of each, because passing a number costs less than passing headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ContentType {
    /// application/json
    Json = 0,
    /// text/html
    Html = 1,
    /// No body.
    None = 2,
    /// text/csv
    Csv = 3,
    /// application/x-ndjson
    Ndjson = 4,
}

/// A response as plain data; `host` adds the security headers that every answer carries.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub media: ContentType,
    pub body: String,
    /// Further headers, by lower-case name.
    pub headers: Vec<(&'static str, String)>,
}

impl Response {
    /// 200 with this body.
    pub fn text(media: ContentType, body: String) -> Self {
        Self {
            status: 200,
            media,
            body,
            headers: Vec::new(),
        }
    }

    pub fn json(status: u16, value: &impl Serialize) -> Self {
        // Serializing our own answers cannot fail: string keys and finite numbers only.
        let body = serde_json::to_string(value).unwrap_or_default();
        Self {
            status,
            ..Self::text(ContentType::Json, body)
        }
    }

    /// `303 See Other` (RFC 9110, 15.4.4): the browser goes on with GET.
    pub fn see_other(location: String) -> Self {
        Self {
            status: 303,
            media: ContentType::None,
            body: String::new(),
            headers: vec![("location", location)],
        }
    }

    /// The same answer with one more header.
    pub fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds a Set-Cookie header for each value (`auth::cookies`).
    pub fn with_cookies(mut self, cookies: impl IntoIterator<Item = String>) -> Self {
        let cookies = cookies.into_iter().map(|cookie| ("set-cookie", cookie));
        self.headers.extend(cookies);
        self
    }

    /// The JSON answer of an error.
    pub fn error(error: &Error, request_id: &str) -> Self {
        let (status, code, _) = error.answer();
        let message = error.message();
        let mut response = Self::json(
            status,
            &serde_json::json!({"error": {"code": code, "message": message}}),
        );
        response
            .headers
            .push(("x-request-id", request_id.to_owned()));
        if let Error::Client(ClientError::Method { allow }) = error {
            response.headers.push(("allow", allow.clone()));
        }
        if let Error::Client(
            ClientError::ProviderPaused { seconds }
            | ClientError::CodeSpent { seconds }
            | ClientError::TooManyAttempts { seconds }
            | ClientError::TooManyScans { seconds }
            | ClientError::TooManySignIns { seconds }
            | ClientError::TooManyRequests { seconds },
        ) = error
        {
            response.headers.push(("retry-after", seconds.to_string()));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_from_its_lines() {
        let head = RequestHead::parse(
            "DELETE\nhttp://localhost:3000/api/integrations/x?organization_id=y#z\nBearer t\na=b\nhttp://localhost:3000\nApplication/JSON; charset=utf-8\ntext/html\nsame-origin",
        );
        assert_eq!(head.method, Method::Delete);
        assert_eq!(head.path, "/api/integrations/x");
        assert_eq!(head.query, "organization_id=y");
        assert_eq!(head.authorization, "Bearer t");
        assert_eq!(head.cookie, "a=b");
        assert_eq!(head.fetch_site, "same-origin");
        assert!(head.is_json() && head.wants_html());
    }

    #[test]
    fn a_url_without_path_has_the_root() {
        assert_eq!(split_url("https://edge.example"), ("/", ""));
        assert_eq!(split_url("https://edge.example/?a=b"), ("/", "a=b"));
    }

    #[test]
    fn text_plain_is_not_json() {
        let head = RequestHead {
            content_type: "text/plain; application/json".into(),
            ..RequestHead::default()
        };
        assert!(!head.is_json());
    }
}
