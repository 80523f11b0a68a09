//! The log: one JSON line an event, so that whatever collects it can search. Never a secret: what goes in is codes, ids, and
//! details that `error` has made.

use serde_json::json;

/// A request that was refused or failed.
pub fn failure(request_id: &str, route: &str, status: u16, code: &str, detail: Option<&str>) {
    let level = if status >= 500 { "error" } else { "info" };
    let line = json!({"level": level, "request_id": request_id, "route": route, "status": status, "code": code, "detail": detail});
    worker::console_error!("{line}");
}

/// Something that the operator should look at, though the request went on.
pub fn warning(request_id: &str, detail: &str) {
    let line = json!({"level": "warning", "request_id": request_id, "detail": detail});
    worker::console_error!("{line}");
}
