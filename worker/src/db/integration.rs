//! One integration, as its organization's members see it: asked for with the user's own token.

use crate::db::project::Project;
use crate::error::{ClientError, Error, Result};
use crate::findings::export::Cursor;
use crate::findings::filter::Scope;
use crate::http::{HttpRequest, HttpResponse};
use crate::ids::{IntegrationId, OrganizationId};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The visible columns: those of the list, and the health. Never `config`.
const SHOWN: &str = "id,integration_type,name,status,created_at,status_reason,scan_schedule,last_checked_at,next_check_at,token_expires_at,external_user_id";

/// Builds the request for an integration's details.
pub fn details_request(project: &Project, token: &str, id: IntegrationId) -> HttpRequest {
    request(project, token, id, SHOWN)
}

/// Reads the response: the row as it is, or None if it does not exist or is not the user's.
pub fn read_details(answer: &HttpResponse) -> Result<&str> {
    let text = body(answer)?.trim();
    let rows: Vec<Map<String, Value>> = serde_json::from_str(text).map_err(|_| unexpected())?;
    if rows.is_empty() {
        return Err(ClientError::UnknownIntegration.into());
    }
    // An id has one row, so the text between the brackets is that row.
    let row = text.strip_prefix('[').and_then(|row| row.strip_suffix(']'));
    row.filter(|_| rows.len() == 1).ok_or_else(unexpected)
}

/// An integration's organization and type.
#[derive(Deserialize)]
pub struct Owner {
    pub organization_id: OrganizationId,
    /// The provider.
    pub integration_type: String,
}

/// Builds the request for an integration's organization.
pub fn owner_request(project: &Project, token: &str, id: IntegrationId) -> HttpRequest {
    request(project, token, id, "organization_id,integration_type")
}

/// Reads the response; None if the user may not see the integration.
pub fn read_owner(answer: &HttpResponse) -> Result<Option<Owner>> {
    let rows: Vec<Owner> = serde_json::from_str(body(answer)?).map_err(|_| unexpected())?;
    Ok(rows.into_iter().next())
}

/// An integration of a type that has checks.
#[derive(Deserialize)]
pub struct Assessable {
    /// The integration.
    pub id: IntegrationId,
    /// Its type.
    pub integration_type: String,
    /// The provider's id of its account.
    pub external_account_id: Option<String>,
}

/// Builds the request for integrations of these types by id: from the one that a cursor names within, or after the one that it names.
pub fn assessable_request(
    project: &Project,
    token: &str,
    scope: Scope,
    types: &[&str],
    cursor: Option<&Cursor>,
    limit: usize,
) -> HttpRequest {
    let filter = match (scope.organization, scope.integration) {
        (_, Some(id)) => format!("&id=eq.{id}"),
        (Some(id), None) => format!("&organization_id=eq.{id}"),
        (None, None) => String::new(),
    };
    let after = cursor.map(|cursor| match cursor.finding {
        Some(_) => format!("&id=gte.{}", cursor.integration),
        None => format!("&id=gt.{}", cursor.integration),
    });
    let (types, after) = (types.join(","), after.unwrap_or_default());
    let path = format!(
        "/rest/v1/integrations?select=id,integration_type,external_account_id{filter}{after}&integration_type=in.({types})&order=id&limit={limit}"
    );
    project.request("GET", &path, &project.anon_key, Some(token), None)
}

fn request(project: &Project, token: &str, id: IntegrationId, select: &str) -> HttpRequest {
    let path = format!("/rest/v1/integrations?select={select}&id=eq.{id}&limit=1");
    project.request("GET", &path, &project.anon_key, Some(token), None)
}

fn body(answer: &HttpResponse) -> Result<&str> {
    if answer.status != 200 || !answer.is_json() {
        return Err(Error::refused("integration", answer.status, &answer.body));
    }
    Ok(&answer.body)
}

fn unexpected() -> Error {
    Error::database_answer("integration: unexpected rows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{complete, read as settings};

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse {
            status,
            content_type: "application/json".into(),
            body: body.into(),
        }
    }

    // threat model 25
    #[test]
    fn a_request_is_for_one_row_and_never_for_its_config() {
        let settings = settings(&complete()).unwrap();
        let id = IntegrationId::parse(ID).unwrap();
        for request in [
            details_request(&settings.supabase, "t", id),
            owner_request(&settings.supabase, "t", id),
        ] {
            assert!(request.url.contains(&format!("&id=eq.{ID}&")));
            assert!(!request.url.contains("config"));
            let authorization = request
                .headers
                .iter()
                .find(|(name, _)| *name == "authorization");
            assert_eq!(authorization.unwrap().1, "Bearer t");
        }
    }

    #[test]
    fn a_row_goes_through_as_it_came_and_none_is_unknown() {
        let row = r#"{"id":"x", "name":"N"}"#;
        let answered = answer(200, &format!("[{row}]\n"));
        assert_eq!(read_details(&answered).unwrap(), row);
        assert!(matches!(
            read_details(&answer(200, "[]")),
            Err(Error::Client(ClientError::UnknownIntegration))
        ));
        assert!(read_owner(&answer(200, "[]")).unwrap().is_none());
        for (status, body) in [
            (401, "[]"),
            (500, "[]"),
            (200, "{}"),
            (200, "<html>"),
            (200, "[{},{}]"),
            (200, "[1]"),
        ] {
            assert!(
                matches!(
                    read_details(&answer(status, body)),
                    Err(Error::Database { .. })
                ),
                "{status} {body}"
            );
        }
    }
}
