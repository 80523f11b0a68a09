//! The Cloudflare runtime: the only folder that touches the SDK. Everything else is plain Rust that also runs natively.
//!
//! It offers what the flows need and decides nothing: a request as text, a response from data, a bounded fetch, the clock, random
//! bytes, the environment, and the log.

mod glue;
mod jobs;
pub mod keys;
pub mod log;

use self::jobs::Promised;
use crate::error::{Error, Refusal, Result};
use crate::flows;
use crate::http::{BODY_LIMIT, Head, Inbound, Outbound, Response, SendError};
use crate::limits::Limits;
use crate::settings::{SettingError, Settings};
use sealed::RandomError;
use std::cell::OnceCell;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, web_sys};

thread_local! {
    // An isolate lives as long as its deployment at the most, so its settings never change.
    static SETTINGS: OnceCell<&'static Result<Settings, SettingError>> = const { OnceCell::new() };
}

/// A request whose body is still unread.
pub struct Incoming {
    /// The request line and the headers.
    pub head: Head,
    raw: web_sys::Request,
}

impl Incoming {
    /// The body, bounded.
    pub async fn body(&self) -> Result<String> {
        let text = Promised(glue::body(&self.raw, BODY_LIMIT as u32))
            .await
            .map_err(|_| Refusal::Body("the body broke off"))?;
        text.as_string().ok_or(Error::Caller(Refusal::TooLarge))
    }
}

/// An answer, ready for the runtime.
pub struct Reply(web_sys::Response);

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        let lines = lines(&response.headers);
        Self(glue::respond(
            response.status,
            response.media as u8,
            &lines,
            response.body.as_str(),
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
pub struct Answer {
    status: u16,
    content_type: String,
    content_range: String,
    limits: Limits,
    raw: glue::Answer,
}

impl Answer {
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

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Content-Range.
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
    pub fn read(self) -> Inbound {
        Inbound {
            status: self.status,
            content_type: self.content_type,
            body: self.raw.text(),
        }
    }

    /// The list of integrations made of this answer's rows.
    pub fn relay_list(&self, count: u64) -> Reply {
        #[expect(clippy::cast_precision_loss, reason = "no table has 2^53 rows")]
        Reply(glue::relay(&self.raw, count as f64))
    }
}

/// Sends a request, bounded in time and size.
pub async fn send(request: &Outbound) -> Result<Answer, SendError> {
    send_noted(request, None).await
}

/// The same, for an answer that may hold the only copy of somebody's tokens: if this job ends before the note is `settled`, another job gets
/// the answer with it (`recover`).
pub async fn send_held(request: &Outbound, note: &str) -> Result<Answer, SendError> {
    send_noted(request, Some(note)).await
}

/// What the answer held is stored, or revoked, or written down.
pub fn settled(note: &str) {
    glue::settled(note);
}

async fn send_noted(request: &Outbound, note: Option<&str>) -> Result<Answer, SendError> {
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
    Answer::parse(answer.unchecked_into())
}

/// Sends a request and reads the whole answer.
pub async fn fetch(request: &Outbound) -> Result<Inbound, SendError> {
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

/// Fills with random bytes, or fails closed.
#[expect(clippy::disallowed_methods, reason = "this is the worker's edge")]
pub fn random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(|_| RandomError)
}

/// Lets others run for a while.
pub async fn pause(milliseconds: u32) {
    // A timer never rejects.
    let _ = Promised(glue::pause(milliseconds)).await;
}

fn settings(env: &Env) -> &'static Result<Settings, SettingError> {
    let get = |name: &str| {
        let value = js_sys::Reflect::get(env, &JsValue::from_str(name)).ok()?;
        value.as_string()
    };
    // Leaked once an isolate.
    SETTINGS.with(|cell| *cell.get_or_init(|| Box::leak(Box::new(Settings::read(get)))))
}

/// A request, as `entry.js` hands it on: the answer, or the number of the job that makes one.
#[wasm_bindgen(js_name = fetch)]
pub fn fetch_event(raw: web_sys::Request, env: Env) -> JsValue {
    let target = Head::parse(&glue::target(&raw));
    let settings = match flows::begin(settings(&env), &target) {
        Ok(settings) => settings,
        Err(Reply(answer)) => return answer.into(),
    };
    let incoming = Incoming {
        head: Head::parse(&glue::head(&raw)),
        raw,
    };
    jobs::begin(async move { flows::serve(settings, incoming).await.0.into() }).into()
}

/// The deployment's own queue, if it has one: where the clock puts what one run may not do.
pub struct Queue(JsValue);

/// What the queue's binding is called in `wrangler.toml`.
const QUEUE: &str = "WORK_QUEUE";

impl Queue {
    fn of(env: &Env) -> Option<Self> {
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

/// The schedule's minute, as `wrangler.toml` sets it.
#[wasm_bindgen(js_name = scheduled)]
pub fn scheduled_event(env: Env) -> u32 {
    let (settings, queue) = (settings(&env), Queue::of(&env));
    jobs::begin(async move {
        flows::schedule::run(settings, queue).await;
        JsValue::NULL
    })
}

/// A message of the queue; `wrangler.toml` gives an invocation one at a time. None is ever sent again: the schedule knows what is left.
#[wasm_bindgen(js_name = queue)]
pub fn queue_event(batch: JsValue, env: Env) -> u32 {
    let bodies = glue::bodies_of(&batch);
    let settings = settings(&env);
    jobs::begin(async move {
        for body in bodies {
            flows::schedule::help(settings, &body).await;
        }
        JsValue::NULL
    })
}

/// Goes on with a held answer whose job has ended: a job whose result is `true`.
#[wasm_bindgen]
pub fn recover(env: Env, note: String, answer: JsValue) -> u32 {
    let settings = settings(&env);
    let answer = Answer::parse(answer.unchecked_into());
    jobs::begin(async move {
        flows::recovery::recover(settings, &note, answer).await;
        JsValue::TRUE
    })
}
