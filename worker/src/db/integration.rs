//! One integration, as its organization's members see it: asked for with the user's own token.

use crate::db::cursor::{self, Keyed};
use crate::db::lists;
use crate::db::project::{Project, Reader};
use crate::display_name::is_line;
use crate::error::{ClientError, Error, Result};
use crate::findings::export::Cursor;
use crate::findings::filter::Scope;
use crate::http::query::Query;
use crate::http::{HttpRequest, HttpResponse};
use crate::ids::{IntegrationId, OauthAppId, OrganizationId};
use crate::oauth::scopes;
use crate::settings::Settings;
use crate::tags;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The visible columns: those of the list, and the health. Never `config`.
const SHOWN: &str = "id,integration_type,name,status,created_at,status_reason,scan_schedule,last_checked_at,next_check_at,token_expires_at,\
    external_user_id,organization_id,account_id:external_account_id,granted_scopes,oauth_app_id,connected_by,tags";

/// Builds the request for an integration's details.
pub fn details_request(project: &Project, reader: &Reader, id: IntegrationId) -> HttpRequest {
    request(project, reader, id, SHOWN)
}

/// Reads the response; an error if the integration does not exist, or the reader may not see it.
pub fn read_details(answer: &HttpResponse) -> Result<Integration> {
    let rows: Vec<Integration> = serde_json::from_str(body(answer)?).map_err(|_| unexpected())?;
    let row = rows.into_iter().next();
    row.ok_or(ClientError::UnknownIntegration.into())
}

/// An integration, as the API shows it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Integration {
    id: IntegrationId,
    integration_type: String,
    name: String,
    status: String,
    created_at: String,
    status_reason: Option<String>,
    scan_schedule: Option<String>,
    last_checked_at: Option<String>,
    next_check_at: Option<String>,
    token_expires_at: Option<String>,
    external_user_id: Option<String>,
    organization_id: OrganizationId,
    account_id: Option<String>,
    /// Null: nobody knows.
    granted_scopes: Option<Vec<String>>,
    /// The organization's own app that the grant was issued to. Null: the deployment's.
    oauth_app_id: Option<OauthAppId>,
    /// Those that the operator requests and the grant lacks.
    #[serde(skip_deserializing)]
    missing_scopes: Option<Vec<String>>,
    /// Who last connected the account, in the words of its event. Null: another application wrote the row.
    connected_by: Option<Value>,
    tags: Vec<String>,
}

impl Integration {
    /// Compares its scopes with those that this deployment requests.
    pub fn compared(mut self, settings: &Settings) -> Self {
        let provider = settings.provider(&self.integration_type);
        let missing = self
            .granted_scopes
            .as_ref()
            .zip(provider)
            .map(|(granted, provider)| {
                let missing = scopes::missing(provider, granted);
                missing.into_iter().map(str::to_owned).collect()
            });
        self.missing_scopes = missing;
        self
    }
}

impl Keyed for Integration {
    fn cursor(&self) -> String {
        cursor::of_moment(&self.created_at, self.id.0)
    }

    fn after(cursor: &str) -> Result<String> {
        cursor::after_moment("created_at", cursor)
    }
}

pub struct Filter {
    pub organization: Option<OrganizationId>,
    integration_type: Option<String>,
    status: Option<&'static str>,
    external_user: Option<String>,
    /// A filter of PostgREST.
    tag: String,
}

const STATUSES: [&str; 4] = ["active", "degraded", "reconnect_required", "revoked"];

impl Filter {
    pub const NAMES: [&str; 7] = [
        "organization_id",
        "integration_type",
        "status",
        "external_user_id",
        "tag",
        "cursor",
        "limit",
    ];

    pub fn parse(query: &Query) -> Result<Self> {
        let organization = query.get("organization_id");
        let kind = query.name("integration_type", "integration_type must be a type's name")?;
        let status = query.get("status").map(|text| {
            let known = STATUSES.into_iter().find(|status| *status == text);
            known.ok_or(ClientError::Invalid(
                "status must be active, degraded, reconnect_required or revoked",
            ))
        });
        let external_user = query.get("external_user_id").map(|user| {
            let user = is_line(user).then(|| user.to_owned());
            user.ok_or(ClientError::Invalid(
                "external_user_id must be 1 to 200 characters on one line, without surrounding blanks",
            ))
        });
        Ok(Self {
            organization: organization.map(OrganizationId::parse).transpose()?,
            integration_type: kind.map(str::to_owned),
            status: status.transpose()?,
            external_user: external_user.transpose()?,
            tag: tags::filter(query.get("tag"))?,
        })
    }

    fn filter(&self) -> String {
        let kind = &self.integration_type;
        let kind = kind
            .as_ref()
            .map(|kind| format!("&integration_type=eq.{kind}"));
        let status = self.status.map(|status| format!("&status=eq.{status}"));
        let external_user = self.external_user.as_deref().map(|user| {
            let user: String = form_urlencoded::byte_serialize(user.as_bytes()).collect();
            format!("&external_user_id=eq.{user}")
        });
        lists::in_organization(self.organization)
            + &kind.unwrap_or_default()
            + &status.unwrap_or_default()
            + &external_user.unwrap_or_default()
            + &self.tag
    }
}

/// Builds the request for a page of integrations, the newest first.
pub fn list_request(
    project: &Project,
    reader: &Reader,
    filter: &Filter,
    after: &str,
    limit: usize,
) -> HttpRequest {
    let filter = filter.filter();
    let path = format!(
        "integrations?select={SHOWN}{filter}{after}&order=created_at.desc,id&limit={limit}"
    );
    project.read(reader, &path)
}

/// An integration's organization and type.
#[derive(Deserialize)]
pub struct Owner {
    pub organization_id: OrganizationId,
    pub integration_type: String,
    /// None: nobody knows.
    pub granted_scopes: Option<Vec<String>>,
}

/// Builds the request for an integration's organization.
pub fn owner_request(project: &Project, reader: &Reader, id: IntegrationId) -> HttpRequest {
    request(
        project,
        reader,
        id,
        "organization_id,integration_type,granted_scopes",
    )
}

/// Reads the response; None if the user may not see the integration.
pub fn read_owner(answer: &HttpResponse) -> Result<Option<Owner>> {
    let rows: Vec<Owner> = serde_json::from_str(body(answer)?).map_err(|_| unexpected())?;
    Ok(rows.into_iter().next())
}

/// An integration of a type that has checks.
#[derive(Deserialize)]
pub struct Assessable {
    pub id: IntegrationId,
    pub integration_type: String,
    /// The provider's id of its account.
    pub external_account_id: Option<String>,
}

/// Builds the request for integrations of these types by id: from the one that a cursor names within, or after the one that it names.
pub fn assessable_request(
    project: &Project,
    reader: &Reader,
    scope: Scope,
    types: &[&str],
    cursor: Option<&Cursor>,
    limit: usize,
) -> HttpRequest {
    let filter = match (scope.organization, scope.integration) {
        (_, Some(id)) => format!("&id=eq.{id}"),
        (organization, None) => lists::in_organization(organization),
    };
    let after = cursor.map(|cursor| match cursor.finding {
        Some(_) => format!("&id=gte.{}", cursor.integration),
        None => format!("&id=gt.{}", cursor.integration),
    });
    let (types, after) = (types.join(","), after.unwrap_or_default());
    let path = format!(
        "integrations?select=id,integration_type,external_account_id{filter}{after}&integration_type=in.({types})&order=id&limit={limit}"
    );
    project.read(reader, &path)
}

fn request(project: &Project, reader: &Reader, id: IntegrationId, select: &str) -> HttpRequest {
    let path = format!("integrations?select={select}&id=eq.{id}&limit=1");
    project.read(reader, &path)
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
            details_request(&settings.supabase, &Reader::User("t".to_owned()), id),
            owner_request(&settings.supabase, &Reader::User("t".to_owned()), id),
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

    // threat model 24
    #[test]
    fn a_filter_is_made_of_known_words_ids_and_encoded_text() {
        let filter = |query: &str| {
            let query = Query::parse(query, &Filter::NAMES, "expected")?;
            Ok::<_, Error>(Filter::parse(&query)?.filter())
        };
        assert_eq!(filter("").unwrap(), "");
        assert_eq!(
            filter(&format!("organization_id={ID}&integration_type=supabase&status=degraded&external_user_id=a%26or%3D(id.gt.0)%20%C3%A9&tag=eu")).unwrap(),
            format!("&organization_id=eq.{ID}&integration_type=eq.supabase&status=eq.degraded&external_user_id=eq.a%26or%3D%28id.gt.0%29+%C3%A9&tags=cs.%7B%22eu%22%7D"),
        );
        assert!(filter(&format!("external_user_id={}", "%C3%A9".repeat(200))).is_ok());
        for wrong in [
            "organization_id=x",
            "integration_type=a.b",
            "status=Active",
            "status=",
            "tag=",
            "tag=a%00b",
            "external_user_id=",
            "external_user_id=a%00b",
            "external_user_id=a%0Ab",
            &format!("external_user_id={}", "x".repeat(201)),
            "select=config",
            "offset=1",
        ] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_row_is_read_and_none_is_unknown() {
        let row = format!(
            r#"[{{"id":"{ID}","integration_type":"gitlab","name":"N","status":"active","created_at":"t","status_reason":null,"scan_schedule":null,
                "last_checked_at":null,"next_check_at":null,"token_expires_at":null,"external_user_id":null,"organization_id":"{ID}","account_id":null,
                "granted_scopes":["api"],"oauth_app_id":null,"connected_by":null,"tags":[]}}]"#
        );
        assert_eq!(read_details(&answer(200, &row)).unwrap().name, "N");
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
