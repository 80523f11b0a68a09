//! Mutes of findings: made, ended, and listed with the user's own token.

use crate::db::call::Call;
use crate::db::cursor::{self, Keyed};
use crate::db::project::{Project, Reader};
use crate::error::Result;
use crate::http::HttpRequest;
use crate::ids::{IntegrationId, MuteId, OrganizationId, UserId};
use serde::{Deserialize, Serialize};

/// A mute, as the API shows it.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Mute {
    pub id: MuteId,
    organization_id: OrganizationId,
    /// Null: all of the organization.
    pub integration_id: Option<IntegrationId>,
    pub check_id: String,
    /// Its check's, if the catalogue still has it.
    #[serde(default)]
    title: Option<String>,
    /// Null: all.
    pub resource_id: Option<String>,
    /// Null: all.
    pub item: Option<String>,
    /// Why, of four reasons.
    pub reason: String,
    pub note: String,
    created_by: UserId,
    created_at: String,
    expires_at: String,
    ended_at: Option<String>,
    ended_by: Option<UserId>,
    /// Whether it holds; not where it was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    /// Whether an open finding matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matches: Option<bool>,
}

impl Keyed for Mute {
    fn cursor(&self) -> String {
        cursor::of_moment(&self.created_at, self.id.0)
    }

    fn after(cursor: &str) -> Result<String> {
        cursor::after_moment("created_at", cursor)
    }
}

impl Mute {
    /// With the title of its check, which the database does not know.
    pub fn titled(mut self) -> Self {
        let mut entries = checks::entries().iter();
        self.title = entries
            .find_map(|entry| entry.check(&self.check_id))
            .map(|check| check.title.clone());
        self
    }

    /// Whether it covers what a finding is about; of the same organization and check.
    pub fn covers(&self, integration: IntegrationId, resource: &str, item: &str) -> bool {
        self.integration_id.is_none_or(|own| own == integration)
            && self.resource_id.as_ref().is_none_or(|own| own == resource)
            && self.item.as_ref().is_none_or(|own| own == item)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MuteReason {
    /// The risk is known and borne.
    AcceptedRisk,
    FalsePositive,
    /// Something else protects.
    CompensatingControl,
    /// It stays as it is.
    WontFix,
}

/// What is muted, why, and until when.
#[derive(Debug, Serialize)]
pub struct NewMute<'a> {
    pub check_id: &'a str,
    pub integration_id: Option<IntegrationId>,
    /// Of which resource of it.
    pub resource_id: Option<&'a str>,
    pub item: Option<&'a str>,
    pub reason: MuteReason,
    pub note: &'a str,
    pub expires_at: &'a str,
}

#[derive(Serialize)]
pub struct MuteFindings<'a> {
    pub p_user_id: UserId,
    pub p_organization_id: OrganizationId,
    pub p_mute: &'a NewMute<'a>,
}

/// What becomes of [`MuteFindings`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Muted {
    Muted {
        mute: Box<Mute>,
    },
    /// The user is no member of the organization.
    NotAMember,
    /// The integration is not the organization's.
    Unknown,
    /// It would end at once, or after more than a year.
    BadEnd,
    /// The organization has as many as it may have.
    TooMany,
}

impl Call for MuteFindings<'_> {
    const NAME: &'static str = "mute_findings";
    type Outcome = Muted;
}

/// A mute is ended early.
#[derive(Serialize)]
pub struct EndMute {
    pub p_id: MuteId,
    pub p_user_id: UserId,
}

/// What becomes of [`EndMute`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MuteEnded {
    Ended,
    /// There is none, or it is not the user's.
    Unknown,
}

impl Call for EndMute {
    const NAME: &'static str = "end_mute";
    type Outcome = MuteEnded;
}

const SHOWN: &str = "id,organization_id,integration_id,check_id,resource_id,item,reason,note,created_by,created_at,expires_at,ended_at,ended_by,active";

/// Builds the request for the mutes of an organization, or of all that the reader may see, the newest first.
pub fn list_request(
    project: &Project,
    reader: &Reader,
    organization: Option<OrganizationId>,
    active: Option<bool>,
    after: &str,
    limit: usize,
) -> HttpRequest {
    let active = active.map(|active| format!("&active=is.{active}"));
    let active = active.unwrap_or_default();
    let organization = super::lists::in_organization(organization);
    let path = format!(
        "mute_list?select={SHOWN},matches{organization}{active}{after}&order=created_at.desc,id&limit={limit}"
    );
    project.read(reader, &path)
}

/// Builds the request for the mutes that hold, of one check or of all, in pages where the project answers fewer rows.
pub fn active_request(
    project: &Project,
    reader: &Reader,
    organization: OrganizationId,
    check: Option<&str>,
    offset: usize,
) -> HttpRequest {
    // A check's id is a name of ours; what the database has besides is no filter.
    let check = check.filter(|check| crate::http::query::is_name(check));
    let check = check.map(|check| format!("&check_id=eq.{check}"));
    let check = check.unwrap_or_default();
    let path = format!(
        "mute_list?select={SHOWN}&organization_id=eq.{organization}{check}&ended_at=is.null&active=is.true&order=created_at,id&offset={offset}"
    );
    super::lists::counted(project, reader, &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    #[test]
    fn a_mute_covers_all_of_what_it_does_not_name() {
        let mute = |over: [Option<&str>; 3]| -> Mute {
            serde_json::from_value(json!({
                "id": ID, "organization_id": ID, "integration_id": over[0], "check_id": "c", "resource_id": over[1], "item": over[2],
                "reason": "wont_fix", "note": "note", "created_by": ID, "created_at": "t", "expires_at": "t", "ended_at": null, "ended_by": null,
            }))
            .unwrap()
        };
        let integration = IntegrationId::parse(ID).unwrap();
        let covers = |over| mute(over).covers(integration, "r", "i");
        let other = Some("00000000-0000-4000-8000-000000000001");
        assert!(covers([None; 3]) && covers([Some(ID), Some("r"), Some("i")]));
        for over in [
            [other, None, None],
            [Some(ID), Some("x"), None],
            [Some(ID), Some("r"), Some("")],
        ] {
            assert!(!covers(over), "{over:?}");
        }
    }
}
