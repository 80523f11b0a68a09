//! The Cloudflare runtime: beside `entry` the only code that touches the SDK.
//!
//! It offers what handlers and jobs need and decides nothing: a request as text, a response from data, a bounded fetch, the clock, random
//! bytes, the environment, and the log.

mod glue;
pub mod jobs;
pub mod log;
pub mod webcrypto;

use crate::error::{ClientError, Error, Result};
use crate::host::jobs::Promised;
use crate::http::rate_limit::Limits;
use crate::http::{BODY_LIMIT, HttpRequest, HttpResponse, RequestHead, Response, SendError};
use chrono::{DateTime, Utc};
use sealed::RandomError;
use uuid::Uuid;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, web_sys};

/// A request whose body is still unread.
pub struct Incoming {
    /// The request line and the headers.
    pub head: RequestHead,
    raw: web_sys::Request,
}

impl Incoming {
    /// A request of the runtime's.
    pub fn new(raw: web_sys::Request) -> Self {
        Self {
            head: RequestHead::parse(&glue::head(&raw)),
            raw,
        }
    }

    /// The body, bounded.
    pub async fn body(&self) -> Result<String> {
        let text = Promised(glue::body(&self.raw, BODY_LIMIT as u32))
            .await
            .map_err(|_| ClientError::Body("the body is incomplete; send it again"))?;
        text.as_string().ok_or(Error::Client(ClientError::TooLarge))
    }
}

/// An answer, ready for the runtime.
pub struct JsResponse(web_sys::Response);

impl JsResponse {
    pub fn status(&self) -> u16 {
        self.0.status()
    }
}

impl From<JsResponse> for JsValue {
    fn from(JsResponse(response): JsResponse) -> Self {
        response.into()
    }
}

impl From<Response> for JsResponse {
    fn from(response: Response) -> Self {
        let lines = lines(&response.headers);
        Self(glue::respond(
            response.status,
            response.media as u8,
            &lines,
            &response.body,
        ))
    }
}

fn lines(headers: &[(&'static str, String)]) -> String {
    // Whatever goes into a header was made or checked here; a line break in it would be a header of somebody else's making.
    let one_line = |text: &str| text.replace(['\n', '\r'], " ");
    headers
        .iter()
        .map(|(name, value)| format!("{name}\n{}\n", one_line(value)))
        .collect()
}

/// What came back, its body still on JavaScript's side.
pub struct UpstreamResponse {
    status: u16,
    content_type: String,
    content_range: String,
    limits: Limits,
    raw: glue::Answer,
}

impl UpstreamResponse {
    /// Reads the lines that `glue.js` joins, or the word that stands in their place.
    fn parse(raw: glue::Answer) -> Result<Self, SendError> {
        let head = raw.head();
        let mut lines = head.split('\n');
        let mut next = || lines.next().unwrap_or_default();
        let status = match next() {
            "timeout" => return Err(SendError::Timeout),
            "large" => return Err(SendError::TooLarge),
            status => status.parse().map_err(|_| SendError::Network)?,
        };
        Ok(Self {
            status,
            content_type: next().to_owned(),
            content_range: next().to_owned(),
            limits: Limits {
                retry_after: next().to_owned(),
                remaining: next().to_owned(),
                reset: next().to_owned(),
            },
            raw,
        })
    }

    /// An answer that `glue.js` has held (`send_held`).
    pub fn of_held(raw: JsValue) -> Result<Self, SendError> {
        Self::parse(raw.unchecked_into())
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn content_range(&self) -> &str {
        &self.content_range
    }

    /// What it says of a rate limit; nothing unless it is an error.
    pub fn limits(&self) -> Limits {
        self.limits.clone()
    }

    /// Whether the body is declared as JSON.
    pub fn is_json(&self) -> bool {
        self.content_type.starts_with("application/json")
    }

    /// The whole answer, as plain data.
    pub fn read(&self) -> HttpResponse {
        HttpResponse {
            status: self.status,
            content_type: self.content_type.clone(),
            body: self.raw.text(),
        }
    }

    /// The list of integrations made of this answer's rows.
    pub fn relay_list(&self, count: u64) -> JsResponse {
        #[expect(clippy::cast_precision_loss, reason = "no table has 2^53 rows")]
        JsResponse(glue::relay(&self.raw, count as f64))
    }
}

/// Sends a request, bounded in time and size.
pub async fn send(request: &HttpRequest) -> Result<UpstreamResponse, SendError> {
    send_noted(request, None).await
}

/// The same, for an answer that may hold the only copy of somebody's tokens: if this job ends before the note is `settled`, another job gets
/// the answer with it (`recover`).
pub async fn send_held(request: &HttpRequest, note: &str) -> Result<UpstreamResponse, SendError> {
    send_noted(request, Some(note)).await
}

/// What the answer held is stored, or revoked, or written down.
pub fn settled(note: &str) {
    glue::settled(note);
}

async fn send_noted(
    request: &HttpRequest,
    note: Option<&str>,
) -> Result<UpstreamResponse, SendError> {
    let headers = lines(&request.headers);
    let answer = glue::send(
        request.method,
        &request.url,
        &headers,
        request.body.as_deref(),
        request.timeout_ms,
        request.limit,
        note,
    );
    // `send` never rejects.
    let answer = Promised(answer).await.map_err(|_| SendError::Network)?;
    UpstreamResponse::parse(answer.unchecked_into())
}

/// How many requests this job has sent.
pub fn sent() -> u32 {
    glue::sent()
}

/// Sends a request and reads the whole answer.
pub async fn fetch(request: &HttpRequest) -> Result<HttpResponse, SendError> {
    send(request).await.map(|answer| answer.read())
}

/// Milliseconds since the epoch. On Workers the clock stands still between two requests to the outside.
pub fn now_ms() -> f64 {
    js_sys::Date::now()
}

/// Whole seconds since the epoch.
#[expect(clippy::cast_possible_truncation, reason = "seconds of this epoch")]
pub fn now_seconds() -> i64 {
    (now_ms() / 1000.0) as i64
}

/// The current moment, to the millisecond.
#[expect(
    clippy::cast_possible_truncation,
    reason = "milliseconds of this epoch"
)]
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(now_ms() as i64).unwrap_or_default()
}

/// Fills with random bytes, or fails closed.
#[expect(clippy::disallowed_methods, reason = "this is the worker's edge")]
pub fn random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(|_| RandomError)
}

/// 32 random bytes, or nothing at all.
pub fn random_bytes() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    random(&mut bytes).map_err(|error| Error::Internal {
        detail: error.to_string(),
    })?;
    Ok(bytes)
}

/// A random UUID (RFC 9562, version 4).
pub fn random_uuid() -> Result<Uuid> {
    let bytes = random_bytes()?;
    let (half, _) = bytes.split_at(16);
    Ok(uuid::Builder::from_random_bytes(half.try_into().unwrap_or_default()).into_uuid())
}

pub async fn sleep(milliseconds: u32) {
    // A timer never rejects.
    let _ = Promised(glue::pause(milliseconds)).await;
}

/// The deployment's own queue, if it has one: where the clock puts what one run may not do.
pub struct Queue(JsValue);

/// What the queue's binding is called in `wrangler.toml`.
const QUEUE: &str = "WORK_QUEUE";

impl Queue {
    /// The queue, if `wrangler.toml` binds one.
    pub fn of(env: &Env) -> Option<Self> {
        let queue = js_sys::Reflect::get(env, &JsValue::from_str(QUEUE)).ok()?;
        queue.is_object().then_some(Self(queue))
    }

    /// Sends so many messages of this body, all or none; whether it took them.
    pub async fn send(&self, body: &str, count: usize) -> bool {
        Promised(glue::enqueue(&self.0, body, count as u32))
            .await
            .is_ok()
    }
}

/// The bodies of a message batch that are text.
pub fn bodies_of(batch: &JsValue) -> Vec<String> {
    glue::bodies_of(batch)
}

/// A text variable or secret of the deployment.
pub fn variable(env: &Env, name: &str) -> Option<String> {
    let value = js_sys::Reflect::get(env, &JsValue::from_str(name)).ok()?;
    value.as_string()
}
