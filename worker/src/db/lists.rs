//! The lists that users read with their own token. Row level security decides what they contain.

use crate::db::project::{Project, Reader};
use crate::error::{Error, Result};
use crate::http::HttpRequest;
use crate::ids::{OrganizationId, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The most rows in a response; `offset` selects the page. The project may return fewer ("Max rows" in its API settings), so a page has as
/// many rows as were returned.
pub const PAGE: usize = 1_000;

/// Builds the request for an organization's integrations: exactly the documented columns, never `config`. `tag` is a filter.
pub fn list_request(
    project: &Project,
    reader: &Reader,
    organization: OrganizationId,
    tag: &str,
    offset: usize,
) -> HttpRequest {
    let path = format!(
        "integrations?select=id,integration_type,name,status,created_at&organization_id=eq.{organization}{tag}\
         &order=created_at.desc,id&limit={PAGE}&offset={offset}"
    );
    counted(project, reader, &path)
}

/// The filter of PostgREST for the rows of an organization. None: of all that the reader may see.
pub fn in_organization(organization: Option<OrganizationId>) -> String {
    let filter = organization.map(|id| format!("&organization_id=eq.{id}"));
    filter.unwrap_or_default()
}

/// A request whose response contains the number of all rows.
pub fn counted(project: &Project, reader: &Reader, path: &str) -> HttpRequest {
    let mut request = project.read(reader, path);
    request.headers.push(("prefer", "count=exact".to_owned()));
    request
}

/// The status and the count of a list's response. Its rows are passed on as they are.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    /// The number of all rows.
    pub count: u64,
    /// The number of rows in this response.
    pub rows: u64,
    /// Whether there are no rows at this offset. Then the response has no body, not even an empty list.
    pub beyond: bool,
}

/// Reads the status and the Content-Range header (RFC 9110, 14.4) that `count=exact` brings: `0-19/20`, or `*/0`.
pub fn read_list(status: u16, is_json: bool, content_range: &str) -> Result<Listed> {
    // 206: there are more rows than the page holds. 416: there is none at this offset, which PostgREST reports as an error.
    if !matches!(status, 200 | 206 | 416) || !is_json {
        return Err(Error::refused("list", status, ""));
    }
    let (range, total) = content_range.rsplit_once('/').unwrap_or_default();
    let count = total.parse();
    let count = count.map_err(|_| Error::database_answer("list: the answer has no count"))?;
    let rows = range.split_once('-').and_then(|(first, last)| {
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    Ok(Listed {
        count,
        rows: rows.unwrap_or(0),
        beyond: status == 416,
    })
}

/// Reads the rows of a list's pages.
pub fn rows<T: DeserializeOwned>(pages: &[String], what: &str) -> Result<Vec<T>> {
    let mut rows = Vec::new();
    for page in pages {
        let page: Option<Vec<T>> = serde_json::from_str(page).ok();
        let unexpected = || Error::database_answer(format!("{what}: unexpected rows"));
        rows.extend(page.ok_or_else(unexpected)?);
    }
    Ok(rows)
}

/// A list that is fetched to its end, page by page.
#[derive(Debug, Default)]
pub struct Paging {
    received: u64,
    pages: usize,
}

/// The most pages of one list that are fetched.
const PAGES_MAX: usize = 100;

/// What follows a page of a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Another page, from this offset on.
    Page(usize),
    /// Nothing: the list is complete.
    End,
    TooMany,
}

impl Paging {
    /// Records a page with this number of rows, of `count` in all.
    pub fn received(&mut self, rows: u64, count: u64) -> Next {
        self.received = self.received.saturating_add(rows);
        self.pages += 1;
        match usize::try_from(self.received) {
            // An empty page also ends the list: rows were deleted in the meantime, or there are no more.
            _ if rows == 0 || self.received >= count => Next::End,
            Ok(offset) if self.pages < PAGES_MAX => Next::Page(offset),
            _ => Next::TooMany,
        }
    }
}

/// A membership, as the API shows it.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Membership {
    pub id: OrganizationId,
    /// The user's role in it.
    pub role: String,
}

/// Builds the request for a user's organizations.
pub fn memberships_request(
    project: &Project,
    reader: &Reader,
    user: UserId,
    offset: usize,
) -> HttpRequest {
    let path = format!(
        "organization_members?select=organization_id,role&user_id=eq.{user}&order=organization_id&limit={PAGE}&offset={offset}"
    );
    counted(project, reader, &path)
}

/// Reads the response. The user's personal organization comes first, with the role `owner`.
pub fn read_memberships(pages: &[String], user: UserId) -> Result<Vec<Membership>> {
    #[derive(Deserialize)]
    struct Row {
        organization_id: OrganizationId,
        role: String,
    }
    let rows: Vec<Row> = rows(pages, "memberships")?;
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

    // threat model 25
    #[test]
    fn a_list_asks_for_the_documented_columns_of_one_organization() {
        let settings = read(&complete()).unwrap();
        let organization = OrganizationId::parse("67e55044-10b1-426f-9247-bb680e5fe0c8").unwrap();
        let request = list_request(
            &settings.supabase,
            &Reader::User("t".to_owned()),
            organization,
            "",
            0,
        );
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
        let within = |rows, count| Listed {
            count,
            rows,
            beyond: false,
        };
        assert_eq!(listed(200, "0-19/20"), within(20, 20));
        assert_eq!(listed(200, "*/0"), within(0, 0));
        assert_eq!(listed(206, "0-999/1001"), within(1000, 1001));
        assert_eq!(listed(206, "100-199/251"), within(100, 251));
        assert_eq!(listed(206, "9-3/251"), within(0, 251));
        assert_eq!(
            listed(416, "*/1"),
            Listed {
                count: 1,
                rows: 0,
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

    // Threat model 127.
    #[test]
    fn a_list_goes_on_from_what_came_and_ends() {
        let mut paging = Paging::default();
        assert_eq!(paging.received(100, 151), Next::Page(100));
        assert_eq!(paging.received(51, 151), Next::End);
        let mut paging = Paging::default();
        assert_eq!(paging.received(100, 151), Next::Page(100));
        assert_eq!(paging.received(0, 151), Next::End, "rows went meanwhile");
        let mut paging = Paging::default();
        let mut pages = 1;
        while let Next::Page(_) = paging.received(1, 1_000) {
            pages += 1;
        }
        assert_eq!(pages, 100);
        assert_eq!(paging.received(1, 1_000), Next::TooMany);
    }

    #[test]
    fn the_personal_organization_comes_first_and_once() {
        let user = UserId::parse("67e55044-10b1-426f-9247-bb680e5fe0c8").unwrap();
        let body = r#"[{"organization_id":"00000000-0000-4000-8000-000000000001","role":"admin"},
                       {"organization_id":"67e55044-10b1-426f-9247-bb680e5fe0c8","role":"member"}]"#;
        let memberships = read_memberships(&[body.to_owned()], user).unwrap();
        assert_eq!(memberships.len(), 2);
        assert_eq!(
            (memberships[0].id.0, memberships[0].role.as_str()),
            (user.0, "owner")
        );
    }
}
