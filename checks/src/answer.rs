//! A request as plain data, and what an answer to it means.

use std::{collections::BTreeMap, fmt};

use chrono::DateTime;
use serde::Serialize;
use serde_json::Value;

use crate::entry::{Meaning, Method, Special};
use crate::evaluate::{Truth, evaluate};
use crate::outcome::Reason;

/// A request for the caller to make: `https` to a host of the entry, redirects not followed, with the credential added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// The name of the read, as the entry has it.
    pub read: String,
    /// GET or POST.
    pub method: Method,
    /// The URL.
    pub url: String,
    /// Headers beside the credential's.
    pub headers: BTreeMap<String, String>,
    /// The JSON body of a POST.
    pub body: Option<Value>,
    /// More bytes than these need not be read: answer [`Answer::TooLarge`].
    pub max_bytes: usize,
    /// The last credential was refused: read the stored one again first, a refresh may have replaced it.
    pub fresh_credential: bool,
}

/// What came of a request. Its `Debug` shows no body: a provider may answer with secrets.
#[derive(Clone)]
pub enum Answer {
    /// An HTTP response.
    Http {
        /// Its status.
        status: u16,
        /// Its headers, names in lower case.
        headers: BTreeMap<String, String>,
        /// Its body, whole.
        body: Vec<u8>,
    },
    /// The body was larger than `max_bytes`.
    TooLarge,
    /// There was no response, or its body broke off: connection, TLS, timeout.
    Failed,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { status, body, .. } => write!(f, "Http {status} of {} bytes", body.len()),
            Self::TooLarge => f.write_str("TooLarge"),
            Self::Failed => f.write_str("Failed"),
        }
    }
}

/// What an answer means for whoever asked.
pub(crate) enum Meant {
    /// JSON to judge, and the headers that may lead to the next page.
    Json(Value, u16, BTreeMap<String, String>),
    /// Nothing to judge.
    Nothing(Reason),
    /// Ask again, not before this time in Unix seconds.
    Later(i64, Reason),
    /// 401: the credential is not accepted.
    Unauthorized,
}

/// The longest wait that a scan accepts, in seconds.
const LONGEST_WAIT: i64 = 24 * 3600;

/// After an answer without a word about when, in seconds.
const WAIT: i64 = 60;

/// After a failure of the provider, in seconds.
const AFTER_FAILURE: i64 = 5;

pub(crate) fn read(answer: Answer, specials: &[&Special], max_bytes: usize, now: i64) -> Meant {
    let (status, headers, body) = match answer {
        Answer::TooLarge => return Meant::Nothing(Reason::TooLarge),
        Answer::Failed => return Meant::Later(now + AFTER_FAILURE, Reason::ProviderFailed),
        Answer::Http { body, .. } if body.len() > max_bytes => {
            return Meant::Nothing(Reason::TooLarge);
        }
        Answer::Http {
            status,
            headers,
            body,
        } => (status, headers, body),
    };
    let json: Option<Value> = serde_json::from_slice(&body).ok();
    for special in specials {
        let matches = special.status == status
            && special.when.as_ref().is_none_or(|when| {
                json.as_ref()
                    .is_some_and(|json| evaluate(when, json, now) == Truth::True)
            });
        if matches {
            return match (&special.stands_for, special.means) {
                (Some(value), _) => Meant::Json(value.clone(), 200, headers),
                (None, Some(Meaning::Plan)) => Meant::Nothing(Reason::Plan),
                (None, Some(Meaning::Off)) => Meant::Nothing(Reason::Off),
                (None, Some(Meaning::Forbidden)) => Meant::Nothing(Reason::Forbidden),
                (None, Some(Meaning::Hidden) | None) => Meant::Nothing(Reason::Hidden),
            };
        }
    }
    let spent = headers
        .get("x-ratelimit-remaining")
        .is_some_and(|left| left == "0");
    match status {
        429 => later(&headers, now),
        403 if spent || headers.contains_key("retry-after") => later(&headers, now),
        200 | 201 | 206 => match json {
            Some(json) => Meant::Json(json, status, headers),
            None => Meant::Nothing(Reason::BadAnswer),
        },
        401 => Meant::Unauthorized,
        402 | 403 => Meant::Nothing(Reason::Forbidden),
        404 | 410 => Meant::Nothing(Reason::Hidden),
        500.. => {
            let wait = seconds(headers.get("retry-after"), now).unwrap_or(AFTER_FAILURE);
            Meant::Later(now + wait.clamp(1, LONGEST_WAIT), Reason::ProviderFailed)
        }
        _ => Meant::Nothing(Reason::BadAnswer),
    }
}

/// When to ask again: Retry-After in seconds or as a date (RFC 9110, 10.2.3), else X-RateLimit-Reset in seconds left or Unix seconds.
fn later(headers: &BTreeMap<String, String>, now: i64) -> Meant {
    let reset = || {
        let reset: i64 = headers.get("x-ratelimit-reset")?.parse().ok()?;
        Some(if reset > 1_000_000_000 {
            reset.saturating_sub(now)
        } else {
            reset
        })
    };
    let wait = seconds(headers.get("retry-after"), now)
        .or_else(reset)
        .unwrap_or(WAIT);
    if wait > LONGEST_WAIT {
        return Meant::Nothing(Reason::Limited);
    }
    Meant::Later(now + wait.max(1), Reason::Limited)
}

fn seconds(header: Option<&String>, now: i64) -> Option<i64> {
    let text = header?;
    text.parse().ok().or_else(|| {
        let date = DateTime::parse_from_rfc2822(text).ok()?;
        Some(date.timestamp().saturating_sub(now))
    })
}
