//! An integration's events, read with the user's own token. They outlive the integration.

use crate::db::project::{Project, Reader};
use crate::error::{ClientError, Error, Result};
use crate::http::{HttpRequest, HttpResponse};
use crate::ids::{IntegrationId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A page of events, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only events before this one; None: from the newest on.
    pub before: Option<u64>,
    /// The most rows to claim.
    pub limit: usize,
}

/// The number of events in a page: the default and the maximum.
const LIMIT: usize = 50;
const LIMIT_MAX: usize = 200;

impl Page {
    /// A request for the row after a page that is shorter than requested: the project may return fewer rows
    /// ("Max rows"), so only another request shows whether the list goes on.
    pub fn after(last: u64) -> Self {
        Self {
            before: Some(last),
            limit: 0,
        }
    }

    /// Reads `cursor` and `limit` from a query, each at most once.
    pub fn parse(query: &str) -> Result<Self> {
        let (mut before, mut limit) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "cursor" if before.is_none() => {
                    let id = number(&value).filter(|id| i64::try_from(*id).is_ok());
                    before = Some(id.ok_or(ClientError::Invalid(
                        "cursor must be the next_cursor of an earlier page",
                    ))?);
                }
                "limit" if limit.is_none() => {
                    let number = number(&value).and_then(|number| usize::try_from(number).ok());
                    let number = number.filter(|number| *number <= LIMIT_MAX);
                    limit = Some(number.ok_or(ClientError::Invalid("limit must be 1 to 200"))?);
                }
                _ => {
                    return Err(ClientError::Invalid("expected cursor or limit, each once").into());
                }
            }
        }
        Ok(Self {
            before,
            limit: limit.unwrap_or(LIMIT),
        })
    }
}

/// A positive number in digits.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        .filter(|number| *number > 0)
}

/// An event, as the API shows it.
#[derive(Deserialize, Debug, Serialize)]
pub struct Event {
    id: u64,
    occurred_at: String,
    actor: String,
    user_id: Option<UserId>,
    action: String,
    outcome: String,
    reason: Option<String>,
    request_id: Option<String>,
    /// Of a service key: its id and name.
    details: Option<Value>,
}

/// A page of events, as the API returns it.
#[derive(Debug, Serialize)]
pub struct Trail {
    /// Newest first.
    pub events: Vec<Event>,
    /// The cursor of the next page, if there is one.
    pub next_cursor: Option<String>,
    #[serde(skip)]
    pub last: Option<u64>,
    /// Whether there are more rows than the page holds.
    #[serde(skip)]
    pub has_more: bool,
}

/// Builds the request for a page, with one event more than it holds: that event shows whether there is a next page.
pub fn request(project: &Project, reader: &Reader, id: IntegrationId, page: Page) -> HttpRequest {
    let before = page
        .before
        .map(|before| format!("&id=lt.{before}"))
        .unwrap_or_default();
    let path = format!(
        "credential_events?select=id,occurred_at,actor,user_id,action,outcome,reason,request_id,details\
         &integration_id=eq.{id}{before}&order=id.desc&limit={}",
        page.limit + 1
    );
    project.read(reader, &path)
}

pub fn read(answer: &HttpResponse, page: Page) -> Result<Trail> {
    if answer.status != 200 || !answer.is_json() {
        return Err(Error::refused("events", answer.status, &answer.body));
    }
    let mut events: Vec<Event> = serde_json::from_str(&answer.body)
        .map_err(|_| Error::database_answer("events: unexpected rows"))?;
    let more = events.len() > page.limit;
    events.truncate(page.limit);
    let last = events.last().map(|event| event.id);
    Ok(Trail {
        next_cursor: last.filter(|_| more).map(|id| id.to_string()),
        last,
        has_more: more,
        events,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{complete, read as settings};

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    // threat model 24
    #[test]
    fn a_cursor_and_a_limit_are_numbers_in_bounds() {
        let page = |before, limit| Page { before, limit };
        assert_eq!(Page::parse("").unwrap(), page(None, 50));
        assert_eq!(
            Page::parse("cursor=7&limit=200").unwrap(),
            page(Some(7), 200)
        );
        for wrong in [
            "cursor=",
            "cursor=0",
            "cursor=-1",
            "cursor=%2B1",
            "cursor=1&cursor=1",
            "cursor=9223372036854775808",
            "cursor=1%26or%3D(id.gt.0)",
            "limit=0",
            "limit=201",
            "limit=1&limit=1",
            "limit=99999999999999999999",
            "offset=1",
        ] {
            assert!(Page::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_is_for_one_integrations_safe_columns() {
        let settings = settings(&complete()).unwrap();
        let id = IntegrationId::parse(ID).unwrap();
        let url = |before| {
            let page = Page { before, limit: 2 };
            request(&settings.supabase, &Reader::User("t".to_owned()), id, page).url
        };
        assert!(url(None).contains(&format!("&integration_id=eq.{ID}&order=id.desc&limit=3")));
        assert!(url(Some(7)).contains(&format!("&integration_id=eq.{ID}&id=lt.7&order")));
        assert!(!url(None).contains("external_account_id"));
    }

    #[test]
    fn a_page_names_the_next_one_if_there_is_one() {
        let event = |id: u64| {
            format!(
                r#"{{"id":{id},"occurred_at":"2026-01-01T00:00:00+00:00","actor":"service","user_id":null,"action":"opened",
                    "outcome":"succeeded","reason":null,"request_id":null,"details":null}}"#
            )
        };
        let trail = |ids: &[u64]| {
            let events: Vec<_> = ids.iter().map(|id| event(*id)).collect();
            let answer = HttpResponse {
                status: 200,
                content_type: "application/json".into(),
                body: format!("[{}]", events.join(",")),
            };
            let page = Page {
                before: None,
                limit: 2,
            };
            let read = read(&answer, page).unwrap();
            let ids: Vec<_> = read.events.iter().map(|event| event.id).collect();
            (ids, read.next_cursor)
        };
        assert_eq!(trail(&[]), (vec![], None));
        assert_eq!(trail(&[9, 8]), (vec![9, 8], None));
        assert_eq!(trail(&[9, 8, 7]), (vec![9, 8], Some("8".to_owned())));
    }
}
