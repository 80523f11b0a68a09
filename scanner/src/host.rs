//! The Cloudflare runtime: beside `entry` the only code that touches the SDK. A bounded fetch, the clock, random bytes, the environment, the
//! log.

use futures_util::future::{Either, select};
use futures_util::{AsyncReadExt, pin_mut};
use platform::http::{HttpRequest, HttpResponse, SendError};
use sealed::RandomError;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use uuid::Uuid;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::ReadableStream;
use worker::{
    AbortController, AbortSignal, Date, Delay, Env, Fetch, Headers, Method, Request, RequestInit,
    RequestRedirect, ResponseBody,
};

/// How much of a body is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;
/// By how much a body's buffer grows, in bytes.
const STEP: usize = 1024 * 1024;

pub struct Received {
    pub status: u16,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// Sends a request. The answer is bounded in time and size. Redirects are not followed, because the request carries a credential.
pub async fn exchange(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
    timeout_ms: u32,
    limit: usize,
) -> Result<Received, SendError> {
    let controller = AbortController::default();
    let signal = controller.signal();
    let exchange = unbounded(method, url, headers, body, limit, &signal);
    pin_mut!(exchange);
    let over = Delay::from(Duration::from_millis(timeout_ms.into()));
    match select(exchange, over).await {
        Either::Left((answer, _)) => {
            if matches!(answer, Err(SendError::TooLarge)) {
                controller.abort();
            }
            answer
        }
        Either::Right(_) => {
            controller.abort();
            Err(SendError::Timeout)
        }
    }
}

async fn unbounded(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
    limit: usize,
    signal: &AbortSignal,
) -> Result<Received, SendError> {
    // The SDK's message may quote the URL or a header, so it is dropped.
    let network = |_: worker::Error| SendError::Network;
    let lines = Headers::new();
    for (name, value) in headers {
        lines.set(name, value).map_err(network)?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::from(method.to_owned()))
        .with_headers(lines)
        .with_body(body.map(JsValue::from_str))
        .with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(url, &init).map_err(network)?;
    let response = Fetch::Request(request)
        .send_with_signal(signal)
        .await
        .map_err(network)?;
    let status = response.status_code();
    let headers: BTreeMap<_, _> = response.headers().entries().collect();
    let body = match response.body() {
        ResponseBody::Stream(stream) => bounded(stream, limit).await?,
        _ => Vec::new(),
    };
    Ok(Received {
        status,
        headers,
        body,
    })
}

/// Reads a body to its end or the limit. At the limit it cancels the rest.
async fn bounded(stream: &ReadableStream, limit: usize) -> Result<Vec<u8>, SendError> {
    // Into one buffer on JavaScript's side: a new chunk for each read would stay in memory until the garbage is collected.
    let stream = wasm_streams::ReadableStream::from_raw(stream.clone().unchecked_into());
    let mut reader = stream
        .try_into_async_read()
        .map_err(|_| SendError::Network)?;
    let mut chunk = vec![0; CHUNK];
    let mut body = Vec::new();
    loop {
        let count = reader
            .read(&mut chunk)
            .await
            .map_err(|_| SendError::Network)?;
        if count == 0 {
            return Ok(body);
        }
        if body.len() + count > limit {
            return Err(SendError::TooLarge);
        }
        if body.capacity() < body.len() + count {
            // By steps, not by doubling: five large bodies have to fit at the same time.
            body.reserve_exact(count + body.len().min(STEP));
        }
        body.extend_from_slice(&chunk[..count]);
    }
}

/// Sends a request to the database.
pub async fn fetch(request: HttpRequest) -> Result<HttpResponse, SendError> {
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let (body, limit) = (request.body.as_deref(), request.limit as usize);
    let answer = exchange(
        request.method,
        &request.url,
        &headers,
        body,
        request.timeout_ms,
        limit,
    )
    .await?;
    Ok(HttpResponse {
        status: answer.status,
        content_type: answer
            .headers
            .get("content-type")
            .cloned()
            .unwrap_or_default(),
        body: String::from_utf8(answer.body).map_err(|_| SendError::Network)?,
    })
}

/// Seconds since the epoch. On Workers the clock advances only with I/O.
pub fn now() -> i64 {
    (Date::now().as_millis() / 1000)
        .try_into()
        .unwrap_or_default()
}

pub async fn sleep(milliseconds: u32) {
    Delay::from(Duration::from_millis(milliseconds.into())).await;
}

#[expect(clippy::disallowed_methods, reason = "this is the scanner's edge")]
pub fn random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(|_| RandomError)
}

/// Version 4 (RFC 9562).
pub fn random_uuid() -> Option<Uuid> {
    let mut bytes = [0; 16];
    random(&mut bytes).ok()?;
    Some(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// 64 random bits. If the random source fails, the id is zero: it proves nothing, and the work continues.
pub fn request_id() -> String {
    let mut bytes = [0; 8];
    let _ = random(&mut bytes);
    bytes.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

pub fn variable(env: &Env, name: &str) -> Option<String> {
    // For the runtime a secret is a variable.
    Some(env.var(name).ok()?.to_string())
}

pub struct Queue(worker::Queue);

impl Queue {
    /// None: `wrangler.toml` binds no queue.
    pub fn of(env: &Env) -> Option<Self> {
        env.queue("WORK_QUEUE").ok().map(Self)
    }

    /// Sends all of so many messages, or none. Returns whether they were sent.
    pub async fn send(&self, count: usize) -> bool {
        self.0.send_batch(vec!["scan"; count]).await.is_ok()
    }
}

/// One JSON line an event. It holds codes, ids, and the details of errors.
pub mod log {
    use serde_json::json;

    pub fn failure(request_id: &str, detail: &str) {
        line("error", request_id, detail);
    }

    /// For the operator to look at. The work continues.
    pub fn warning(request_id: &str, detail: &str) {
        line("warning", request_id, detail);
    }

    fn line(level: &str, request_id: &str, detail: &str) {
        let line = json!({"level": level, "request_id": request_id, "route": "scheduled: scan", "detail": detail});
        worker::console_error!("{line}");
    }
}
