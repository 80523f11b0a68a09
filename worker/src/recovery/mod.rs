//! Recovers a token endpoint's response whose job has ended with an exception or a trap. The response may hold the only copy of a user's
//! tokens, so another job continues with it. JavaScript holds the response with a note of what that job needs. Credentials in the note are
//! sealed.

pub mod note;

use crate::connect::callback;
use crate::context::{Task, request_id};
use crate::error::{Error, Result};
use crate::host::{UpstreamResponse, log};
use crate::http::SendError;
use crate::json;
use crate::refresh::refresh_grant::{self, Redeemer};
use crate::settings::Settings;
use note::Note;
use platform::settings::SettingError;

/// Continues with a response: fresh tokens are stored; a new grant is given up and revoked.
pub async fn recover(
    settings: &'static Result<Settings, SettingError>,
    note: &str,
    answer: Result<UpstreamResponse, SendError>,
) {
    let request_id = request_id();
    let Ok(settings) = settings else { return };
    let task = Task::new(settings, request_id);
    let resumed = match json::read_tagged("request", note).ok() {
        Some(Note::Refresh {
            owner,
            caller,
            claim,
        }) => refresh_grant::resume(&task, Redeemer { owner, caller }, &claim, answer).await,
        Some(Note::Exchange(exchange)) => callback::give_up(&task, &exchange, answer).await,
        None => Err(Error::Internal {
            detail: "a note that cannot be read".to_owned(),
        }),
    };
    let detail = match resumed {
        Ok(()) => "a job ended with an exception; the answer that it waited for is dealt with",
        Err(ref error) => error.detail().unwrap_or_default(),
    };
    log::warning(&task.request_id, &format!("recovery: {detail}"));
}
