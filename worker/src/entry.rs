//! The functions that the runtime calls through `host/entry.js`: for a request, a run of the schedule, a message of the queue, and a response
//! whose job has ended. Each starts a job.

use crate::connect::failure_page;
use crate::context::{Context, Task, request_id};
use crate::error::Error;
use crate::host::{self, Incoming, JsResponse, Queue, UpstreamResponse, jobs, log};
use crate::http::Response;
use crate::jobs::schedule;
use crate::recovery;
use crate::routes::{Route, route};
use crate::settings::Settings;
use platform::settings::SettingError;
use std::cell::OnceCell;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{Env, web_sys};

thread_local! {
    // The settings never change during an isolate's life.
    static SETTINGS: OnceCell<&'static Result<Settings, SettingError>> = const { OnceCell::new() };
}

fn settings(env: &Env) -> &'static Result<Settings, SettingError> {
    let read = || &*Box::leak(Box::new(Settings::read(|name| host::variable(env, name))));
    SETTINGS.with(|cell| *cell.get_or_init(read))
}

/// Starts a job for a request that `entry.js` passes on. Returns its number.
#[wasm_bindgen]
pub fn fetch(raw: web_sys::Request, env: Env) -> u32 {
    let settings = settings(&env);
    let incoming = Incoming::new(raw);
    jobs::begin(async move { serve(settings, &incoming).await.into() })
}

/// Finds the route, calls its handler, and turns the result into a response.
async fn serve(
    settings: &'static Result<Settings, SettingError>,
    incoming: &Incoming,
) -> JsResponse {
    let head = &incoming.head;
    let request_id = request_id();
    let logs_all = settings.as_ref().is_ok_and(|settings| settings.request_log);
    let begun_ms = logs_all.then(host::now_ms);
    let found = match route(head.method, &head.path) {
        Ok(found) => found,
        Err(error) => return failed("", &error, &request_id, begun_ms, false),
    };
    let is_page =
        matches!(found.route, Route::Callback | Route::CallbackOfSupabase) && head.wants_html();
    let outcome = match settings {
        Ok(settings) => {
            let task = Task::new(settings, request_id.clone());
            found.serve(&Context { task, incoming }).await
        }
        Err(wrong) => Err(wrong.into()),
    };
    match (outcome, begun_ms) {
        // Whatever asks whether this is alive asks often.
        (Ok(response), Some(begun_ms)) if found.route != Route::Health => {
            log::Request::new(&request_id, &found.name(), response.status())
                .with_effort(begun_ms)
                .write();
            response
        }
        (Ok(response), _) => response,
        (Err(error), begun_ms) => failed(&found.name(), &error, &request_id, begun_ms, is_page),
    }
}

fn failed(
    route: &str,
    error: &Error,
    request_id: &str,
    begun_ms: Option<f64>,
    is_page: bool,
) -> JsResponse {
    let (status, code, _) = error.answer();
    let line = log::Request::new(request_id, route, status).failed(code, error.detail());
    match begun_ms {
        Some(begun_ms) => line.with_effort(begun_ms).write(),
        None => line.write(),
    }
    let response = if is_page {
        failure_page::failure(error, request_id)
    } else {
        Response::error(error, request_id)
    };
    response.into()
}

/// A run of the schedule, each minute, as `wrangler.toml` says.
#[wasm_bindgen]
pub fn scheduled(env: Env) -> u32 {
    let (settings, queue) = (settings(&env), Queue::of(&env));
    jobs::begin(async move {
        schedule::run(settings, queue).await;
        JsValue::NULL
    })
}

/// A message of the queue. `wrangler.toml` gives each invocation one message. Messages are never retried: the schedule finds what is left.
#[wasm_bindgen]
pub fn queue(batch: JsValue, env: Env) -> u32 {
    let bodies = host::bodies_of(&batch);
    let settings = settings(&env);
    jobs::begin(async move {
        for body in bodies {
            schedule::help(settings, &body).await;
        }
        JsValue::NULL
    })
}

/// Continues with a held response whose job has ended. The job's result is `true`.
#[wasm_bindgen]
pub fn recover(env: Env, note: String, answer: JsValue) -> u32 {
    let settings = settings(&env);
    let answer = UpstreamResponse::of_held(answer);
    jobs::begin(async move {
        recovery::recover(settings, &note, answer).await;
        JsValue::TRUE
    })
}
