use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::outcome::{Code, Outcome};
use crate::error::{Error, ErrorKind, Result};
use crate::web::Server;

const PATH: &str = "/api/integrations/import";
/// The pauses before a request is repeated whose outcome is unknown, in seconds. A repeated import stores nothing twice.
const PAUSES: [u64; 5] = [1, 2, 5, 10, 20];
/// The longest wait that the worker may ask for, in seconds. A provider that wants more costs this line only.
const WAIT_MAX: u64 = 900;
/// How often a line waits. A key's limit ends after a minute, but other lines wait for it too.
const WAITS_MAX: u32 = 20;
/// The largest answer that is read.
const MAX_ANSWER: u64 = 64 * 1024;

/// A client of the route that imports one connection.
pub struct Client {
    server: Server,
    authorization: Zeroizing<String>,
    /// Whether an account that is connected gets the new credentials.
    pub replace: bool,
}

struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: Vec<u8>,
}

#[derive(Deserialize)]
struct Imported {
    replaced: bool,
    refreshable: bool,
    not_refreshable_reason: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
}

impl Client {
    pub fn new(server: Server, key: &str, replace: bool) -> Self {
        let authorization = Zeroizing::new(format!("Bearer {}", key.trim()));
        Self {
            server,
            authorization,
            replace,
        }
    }

    /// Imports one connection. An error ends the whole command: no other line would fare better.
    pub fn import(&self, body: &[u8]) -> Result<Outcome> {
        let mut pauses = PAUSES.into_iter();
        let mut waits = 0;
        loop {
            let answer = self.post(body);
            match answer {
                Ok(answer) if !matches!(answer.status, 429 | 503) => return outcome(&answer),
                Ok(answer) if answer.status == 429 => {
                    let seconds = answer.retry_after.unwrap_or(60).max(1);
                    waits += 1;
                    if seconds > WAIT_MAX || waits > WAITS_MAX {
                        return outcome(&answer);
                    }
                    pause(seconds);
                }
                other => {
                    let Some(seconds) = pauses.next() else {
                        return Err(unreachable(other.err()));
                    };
                    pause(seconds);
                }
            }
        }
    }

    fn post(&self, body: &[u8]) -> Result<Answer, ureq::Error> {
        let Server { agent, base } = &self.server;
        let mut response = agent
            .post(format!("{base}{PATH}"))
            .header("content-type", "application/json")
            .header("authorization", self.authorization.as_str())
            .send(body)?;
        let header = response.headers().get("retry-after");
        let retry_after = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after,
            body: response
                .body_mut()
                .with_config()
                .limit(MAX_ANSWER)
                .read_to_vec()?,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this thread has nothing else to do, and the command's own stays awake"
)]
fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

fn outcome(answer: &Answer) -> Result<Outcome> {
    if matches!(answer.status, 200 | 201) {
        let imported: Imported =
            serde_json::from_slice(&answer.body).map_err(|_| not_the_worker(answer))?;
        let reason = imported.not_refreshable_reason.as_deref();
        return Ok(Outcome::Imported {
            replaced: imported.replaced,
            // A key without expiry needs no refresh.
            ends: !imported.refreshable && reason != Some("no_expiry"),
        });
    }
    let refused: Option<Refused> = serde_json::from_slice(&answer.body).ok();
    let code = refused.and_then(|refused| Code::of_worker(&refused.error.code));
    let code = code.ok_or_else(|| not_the_worker(answer))?;
    match (answer.status, code.as_str()) {
        (409, "already_connected") => Ok(Outcome::AlreadyConnected),
        (401, _) => Err(Error::new(
            ErrorKind::Caller,
            "the worker does not know this service key",
        )
        .hint("it may be revoked or expired: keytool service-key list")),
        (403, "missing_scope") => Err(Error::new(
            ErrorKind::Caller,
            "this service key lacks the scope connections:import",
        )
        .hint("keytool service-key create --scope connections:import")),
        (404 | 405, _) => Err(not_the_worker(answer)),
        _ => Ok(Outcome::Failed(code)),
    }
}

fn not_the_worker(answer: &Answer) -> Error {
    let message = format!(
        "the server of --url answered {}, and not as the worker does",
        answer.status
    );
    Error::new(ErrorKind::Worker, message)
        .hint("--url is the address of the connect page, and the worker must be of this version")
}

/// ureq's errors name a host at most.
fn unreachable(error: Option<ureq::Error>) -> Error {
    let why = error.map_or("answers 503".to_owned(), |error| error.to_string());
    Error::new(ErrorKind::Worker, format!("the worker of --url: {why}"))
        .hint("run it again when it can be reached: nothing is stored twice")
}
