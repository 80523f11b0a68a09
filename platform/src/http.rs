//! A request to somebody else and its answer, as plain data.

/// A request to somebody else, as plain data.
#[derive(Debug)]
pub struct HttpRequest {
    pub method: &'static str,
    /// The absolute URL.
    pub url: String,
    /// Headers by lower-case name. Values may be secrets: never logged.
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
    /// How long the whole exchange may take, in milliseconds.
    pub timeout_ms: u32,
    /// How large the answer may be, in bytes; 0: its body is not read at all, and counts as empty.
    pub limit: u32,
}

#[derive(Debug)]
pub struct HttpResponse {
    pub status: u16,
    /// Content-Type, as it came.
    pub content_type: String,
    pub body: String,
}

impl HttpResponse {
    /// Whether the body is declared to be JSON (`application/json` or a `+json` type).
    pub fn is_json(&self) -> bool {
        let essence = self.essence();
        essence == "application/json" || essence.ends_with("+json")
    }

    /// Whether the body is declared to be a form (`application/x-www-form-urlencoded`).
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
    /// Not within the time bound.
    Timeout,
    /// No connection, or it broke.
    Network,
    TooLarge,
}
