//! An organization's endpoints and their deliveries, read with the user's own token.

use crate::db::events::Page;
use crate::db::project::{Project, Reader};
use crate::db::{Endpoint, lists};
use crate::error::{Error, Result};
use crate::http::{HttpRequest, HttpResponse};
use crate::ids::{EndpointId, EventId, IntegrationId, OrganizationId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Builds the request for the endpoints of an organization, at most ten, or of all that the reader may see.
pub fn list_request(
    project: &Project,
    reader: &Reader,
    organization: Option<OrganizationId>,
    offset: usize,
) -> HttpRequest {
    let organization = lists::in_organization(organization);
    let path = format!(
        "webhook_endpoints?select=id,organization_id,url,events,min_severity,enabled,disabled_reason,previous_secret_ends_at,created_at\
{organization}&order=created_at,id&offset={offset}"
    );
    lists::counted(project, reader, &path)
}

pub fn read_list(pages: &[String]) -> Result<Vec<Endpoint>> {
    lists::rows(pages, "webhooks")
}

/// Builds the request that shows whether the user may see an endpoint.
pub fn exists_request(project: &Project, reader: &Reader, id: EndpointId) -> HttpRequest {
    let path = format!("webhook_endpoints?select=id&id=eq.{id}");
    project.read(reader, &path)
}

pub fn read_exists(answer: &HttpResponse) -> Result<bool> {
    rows::<Value>(answer, "webhook").map(|rows| !rows.is_empty())
}

/// A delivery, as the API shows it.
#[derive(Deserialize, Debug, Serialize)]
pub struct Shown {
    event_id: EventId,
    r#type: String,
    integration_id: IntegrationId,
    occurred_at: String,
    state: String,
    attempts: u32,
    last_attempt_at: Option<String>,
    last_status: Option<u16>,
    last_error: Option<String>,
    next_attempt_at: Option<String>,
    #[serde(skip_serializing)]
    position: u64,
}

/// A page of deliveries, as the API returns it.
#[derive(Debug, Serialize)]
pub struct Deliveries {
    /// Newest first.
    pub deliveries: Vec<Shown>,
    /// The cursor of the next page, if there is one.
    pub next_cursor: Option<String>,
    #[serde(skip)]
    pub last: Option<u64>,
    /// Whether there are more rows than the page holds.
    #[serde(skip)]
    pub has_more: bool,
}

/// Builds the request for a page, with one row more than it holds: that row shows whether there is a next page.
pub fn deliveries_request(
    project: &Project,
    reader: &Reader,
    id: EndpointId,
    page: Page,
) -> HttpRequest {
    let before = page
        .before
        .map(|before| format!("&position=lt.{before}"))
        .unwrap_or_default();
    let path = format!(
        "webhook_deliveries?select=event_id,type,integration_id,occurred_at,state,attempts,last_attempt_at,last_status,last_error,\
         next_attempt_at,position&endpoint_id=eq.{id}{before}&order=position.desc&limit={}",
        page.limit + 1
    );
    project.read(reader, &path)
}

pub fn read_deliveries(answer: &HttpResponse, page: Page) -> Result<Deliveries> {
    let mut deliveries: Vec<Shown> = rows(answer, "deliveries")?;
    let more = deliveries.len() > page.limit;
    deliveries.truncate(page.limit);
    for delivery in &mut deliveries {
        // A settled delivery has no next attempt.
        if delivery.state != "pending" {
            delivery.next_attempt_at = None;
        }
    }
    let last = deliveries.last().map(|delivery| delivery.position);
    Ok(Deliveries {
        next_cursor: last.filter(|_| more).map(|position| position.to_string()),
        last,
        has_more: more,
        deliveries,
    })
}

fn rows<T: DeserializeOwned>(answer: &HttpResponse, what: &str) -> Result<Vec<T>> {
    if answer.status != 200 || !answer.is_json() {
        return Err(Error::refused(what, answer.status, &answer.body));
    }
    serde_json::from_str(&answer.body)
        .map_err(|_| Error::database_answer(format!("{what}: unexpected rows")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{complete, read as settings};

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn answer(body: String) -> HttpResponse {
        HttpResponse {
            status: 200,
            content_type: "application/json".into(),
            body,
        }
    }

    // threat model 25
    #[test]
    fn a_request_is_for_one_organization_or_endpoint_and_never_for_a_secret() {
        let settings = settings(&complete()).unwrap();
        let project = &settings.supabase;
        let id = EndpointId::parse(ID).unwrap();
        let page = Page {
            before: Some(7),
            limit: 2,
        };
        let deliveries = deliveries_request(project, &Reader::User("t".to_owned()), id, page).url;
        assert!(deliveries.contains(&format!(
            "&endpoint_id=eq.{ID}&position=lt.7&order=position.desc&limit=3"
        )));
        let list = list_request(
            project,
            &Reader::User("t".to_owned()),
            OrganizationId::parse(ID).ok(),
            0,
        )
        .url;
        assert!(list.contains(&format!("&organization_id=eq.{ID}&")));
        let exists = exists_request(project, &Reader::User("t".to_owned()), id).url;
        assert!(exists.ends_with(&format!("?select=id&id=eq.{ID}")));
        for url in [deliveries, list, exists] {
            assert!(!url.contains("config"), "{url}");
        }
    }

    #[test]
    fn a_page_names_the_next_one_and_shows_no_position() {
        let row = |position: u32, state: &str| {
            format!(
                r#"{{"event_id":"{ID}","type":"connection.created","integration_id":"{ID}","occurred_at":"t","state":"{state}","attempts":1,
                    "last_attempt_at":null,"last_status":200,"last_error":null,"next_attempt_at":"t","position":{position}}}"#
            )
        };
        let rows = [row(9, "pending"), row(8, "delivered"), row(7, "failed")].join(",");
        let page = Page {
            before: None,
            limit: 2,
        };
        let read = read_deliveries(&answer(format!("[{rows}]")), page).unwrap();
        assert_eq!(read.next_cursor.as_deref(), Some("8"));
        let next: Vec<_> = read
            .deliveries
            .iter()
            .map(|delivery| delivery.next_attempt_at.is_some())
            .collect();
        assert_eq!(next, [true, false]);
        assert!(!serde_json::to_string(&read).unwrap().contains("position"));
    }

    #[test]
    fn whether_it_exists_is_whether_there_is_a_row() {
        let exists = |body: &str| read_exists(&answer(body.to_owned()));
        assert!(exists(&format!(r#"[{{"id":"{ID}"}}]"#)).unwrap());
        assert!(!exists("[]").unwrap());
        assert!(exists("{}").is_err());
    }
}
