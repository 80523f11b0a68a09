//! HTTP requests and responses as plain data.

#[derive(Debug)]
pub struct HttpRequest {
    pub method: &'static str,
    /// Absolute.
    pub url: String,
    /// Headers by lower-case name. Values may be secrets: never logged.
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
    /// How long the whole exchange may take, in milliseconds.
    pub timeout_ms: u32,
    /// The most bytes of the answer. 0: the body is not read, and counts as empty.
    pub limit: u32,
}

#[derive(Debug)]
pub struct HttpResponse {
    pub status: u16,
    /// As received.
    pub content_type: String,
    pub body: String,
}

impl HttpResponse {
    /// By its declared type: `application/json` or a `+json` type.
    pub fn is_json(&self) -> bool {
        let essence = self.essence();
        essence == "application/json" || essence.ends_with("+json")
    }

    /// By its declared type, `application/x-www-form-urlencoded`.
    pub fn is_form(&self) -> bool {
        self.essence() == "application/x-www-form-urlencoded"
    }

    fn essence(&self) -> String {
        let essence = self.content_type.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    Timeout,
    /// There was no connection, or it was lost.
    Network,
    TooLarge,
}
