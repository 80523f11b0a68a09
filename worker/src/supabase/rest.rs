//! What a user may read, asked for with the user's own token: row level security decides.

use super::Project;
use crate::error::{Error, Result};
use crate::http::{Inbound, Outbound};
use crate::ids::{OrganizationId, UserId};
use crate::json::{object, parse};
use serde::Serialize;

/// The most rows that one list answers; `offset` pages on.
pub const PAGE: usize = 1_000;

/// Builds the request for the integrations of an organisation: exactly the documented columns, never `config`.
pub fn list_request(
    project: &Project,
    token: &str,
    organization: OrganizationId,
    offset: usize,
) -> Outbound {
    let path = format!(
        "/rest/v1/integrations?select=id,integration_type,name,status,created_at&organization_id=eq.{organization}\
         &order=created_at.desc,id&limit={PAGE}&offset={offset}"
    );
    let mut request = project.request("GET", &path, &project.anon_key, Some(token), None);
    request.headers.push(("prefer", "count=exact".to_owned()));
    request
}

/// What the answer to a list says besides its rows, which are passed on as they came.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    /// How many integrations there are.
    pub count: u64,
    /// Whether there are none at this offset: then the answer holds no rows, not even an empty list.
    pub beyond: bool,
}

/// Reads the status and the Content-Range header (RFC 9110, 14.4) that `count=exact` brings: `0-19/20`, or `*/0`.
pub fn read_list(status: u16, is_json: bool, content_range: &str) -> Result<Listed> {
    // 206: there are more rows than the page holds. 416: none at this offset, which PostgREST reports as an error.
    if !matches!(status, 200 | 206 | 416) || !is_json {
        return Err(Error::refused("list", status, ""));
    }
    let total = content_range
        .rsplit_once('/')
        .and_then(|(_, total)| total.parse().ok());
    let count = total.ok_or_else(|| Error::database_answer("list: the answer has no count"))?;
    Ok(Listed {
        count,
        beyond: status == 416,
    })
}

/// A membership, as the API shows it.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Membership {
    /// The organisation.
    pub id: OrganizationId,
    /// The user's role in it.
    pub role: String,
}

/// Builds the request for the organisations of a user.
pub fn memberships_request(project: &Project, token: &str, user: UserId) -> Outbound {
    let path = format!(
        "/rest/v1/organization_members?select=organization_id,role&user_id=eq.{user}&order=organization_id&limit={PAGE}"
    );
    project.request("GET", &path, &project.anon_key, Some(token), None)
}

/// Reads them; the user's personal organisation comes first, with the role `owner`.
pub fn read_memberships(answer: &Inbound, user: UserId) -> Result<Vec<Membership>> {
    object! {
        struct Row {
            organization_id: OrganizationId,
            role: String,
        }
    }
    if answer.status != 200 || !answer.is_json() {
        return Err(Error::refused("memberships", answer.status, &answer.body));
    }
    let rows: Vec<Row> = parse(&answer.body)
        .ok_or_else(|| Error::database_answer("memberships: unexpected rows"))?;
    let personal = Membership {
        id: user.personal_organization(),
        role: "owner".to_owned(),
    };
    let memberships = rows.into_iter().map(|row| Membership {
        id: row.organization_id,
        role: row.role,
    });
    let others: Vec<_> = memberships
        .filter(|membership| membership.id != personal.id)
        .collect();
    Ok(std::iter::once(personal).chain(others).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::{complete, read};

    // attacks.md 25
    #[test]
    fn a_list_asks_for_the_documented_columns_of_one_organisation() {
        let settings = read(&complete()).unwrap();
        let organization = OrganizationId::parse("67e55044-10b1-426f-9247-bb680e5fe0c8").unwrap();
        let request = list_request(&settings.supabase, "t", organization, 0);
        assert!(
            request
                .url
                .contains("select=id,integration_type,name,status,created_at&")
        );
        assert!(
            request
                .url
                .contains("organization_id=eq.67e55044-10b1-426f-9247-bb680e5fe0c8")
        );
        assert!(!request.url.contains("config"));
    }

    #[test]
    fn the_count_is_the_content_ranges() {
        let listed = |status, range| read_list(status, true, range).unwrap();
        let within = |count| Listed {
            count,
            beyond: false,
        };
        assert_eq!(listed(200, "0-19/20"), within(20));
        assert_eq!(listed(200, "*/0"), within(0));
        assert_eq!(listed(206, "0-999/1001"), within(1001));
        assert_eq!(
            listed(416, "*/1"),
            Listed {
                count: 1,
                beyond: true
            }
        );
        for (status, json, range) in [
            (200, true, "0-19/*"),
            (200, true, ""),
            (200, false, "0-19/20"),
            (401, true, "0-19/20"),
            (500, true, ""),
        ] {
            assert!(read_list(status, json, range).is_err());
        }
    }

    #[test]
    fn the_personal_organisation_comes_first_and_once() {
        let user = UserId::parse("67e55044-10b1-426f-9247-bb680e5fe0c8").unwrap();
        let body = r#"[{"organization_id":"00000000-0000-4000-8000-000000000001","role":"admin"},
                       {"organization_id":"67e55044-10b1-426f-9247-bb680e5fe0c8","role":"member"}]"#;
        let answer = Inbound {
            status: 200,
            content_type: "application/json".into(),
            body: body.into(),
        };
        let memberships = read_memberships(&answer, user).unwrap();
        assert_eq!(memberships.len(), 2);
        assert_eq!(
            (memberships[0].id.0, memberships[0].role.as_str()),
            (user.0, "owner")
        );
    }
}
