//! The log: one JSON line an event, so that whatever collects it can search. Never a secret: what goes in is codes, ids, and
//! details that `error` has made.

use crate::host;
use serde::Serialize;
use serde_json::json;

/// A request that was answered.
#[derive(Serialize)]
pub struct Request<'a> {
    level: &'static str,
    request_id: &'a str,
    /// The method and the pattern of the path, which holds nothing that the client has sent.
    route: &'a str,
    status: u16,
    #[serde(flatten)]
    failure: Option<Failure<'a>>,
    #[serde(flatten)]
    effort: Option<Effort>,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    detail: Option<&'a str>,
}

/// What `REQUEST_LOG` adds. The platform's clock stands still between two requests to the outside, so `milliseconds` are those of waiting.
#[derive(Serialize)]
struct Effort {
    outcome: &'static str,
    milliseconds: f64,
    upstream_calls: u32,
}

impl<'a> Request<'a> {
    pub fn new(request_id: &'a str, route: &'a str, status: u16) -> Self {
        let level = if status >= 500 { "error" } else { "info" };
        Self {
            level,
            request_id,
            route,
            status,
            failure: None,
            effort: None,
        }
    }

    /// It was refused or failed.
    pub fn failed(mut self, code: &'a str, detail: Option<&'a str>) -> Self {
        self.failure = Some(Failure { code, detail });
        self
    }

    /// How it ended, how long it took, and how many requests it sent. Called by the request's own job.
    pub fn with_effort(mut self, begun_ms: f64) -> Self {
        self.effort = Some(Effort {
            outcome: match self.status {
                500.. => "failed",
                400.. => "refused",
                _ => "succeeded",
            },
            milliseconds: host::now_ms() - begun_ms,
            upstream_calls: host::sent(),
        });
        self
    }

    pub fn write(&self) {
        let line = json!(self);
        if self.failure.is_some() {
            worker::console_error!("{line}");
        } else {
            worker::console_log!("{line}");
        }
    }
}

/// What failed without being a request's answer: a run of the schedule, a callback that sends the browser back to the backend.
pub fn failure(request_id: &str, route: &str, status: u16, code: &str, detail: Option<&str>) {
    Request::new(request_id, route, status)
        .failed(code, detail)
        .write();
}

/// Something that the operator should look at, though the request went on.
pub fn warning(request_id: &str, detail: &str) {
    let line = json!({"level": "warning", "request_id": request_id, "detail": detail});
    worker::console_error!("{line}");
}
