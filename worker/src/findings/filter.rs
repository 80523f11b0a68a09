//! Reads the filters of a list of runs or findings from its query.

use crate::db::lists::in_organization;
use crate::error::{ClientError, Result};
use crate::http::query::Query;
use crate::ids::{IntegrationId, OrganizationId};
use checks::Severity;

/// Of which organization and integration something is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    pub organization: Option<OrganizationId>,
    pub integration: Option<IntegrationId>,
}

impl Scope {
    /// Reads `organization_id` and `integration_id`.
    pub fn parse(query: &Query) -> Result<Self> {
        let organization = query.get("organization_id");
        let integration = query.get("integration_id");
        Ok(Self {
            organization: organization.map(OrganizationId::parse).transpose()?,
            integration: integration.map(IntegrationId::parse).transpose()?,
        })
    }

    /// Where nothing is named: this organization.
    pub fn or(mut self, organization: Option<OrganizationId>) -> Self {
        if self.integration.is_none() && self.organization.is_none() {
            self.organization = organization;
        }
        self
    }

    pub fn filter(self) -> String {
        let integration = self
            .integration
            .map(|id| format!("&integration_id=eq.{id}"));
        in_organization(self.organization) + &integration.unwrap_or_default()
    }
}

/// The state of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(&'static str);

#[derive(Debug)]
pub struct Filter {
    pub scope: Scope,
    /// In which state; open, unless the caller says so.
    pub state: State,
    pub severity: Option<Severity>,
    /// Of which type of integration.
    pub integration_type: Option<String>,
    pub check: Option<String>,
    /// Muted ones alone, or those that are not.
    pub muted: Option<bool>,
}

impl Filter {
    pub const NAMES: [&str; 9] = [
        "organization_id",
        "integration_id",
        "integration_type",
        "severity",
        "state",
        "check_id",
        "muted",
        "cursor",
        "limit",
    ];

    pub fn parse(query: &Query) -> Result<Self> {
        let one_of = |expected| ClientError::Invalid(expected);
        let state = match query.get("state") {
            None | Some("open") => "open",
            Some("resolved") => "resolved",
            Some("archived") => "archived",
            Some(_) => return Err(one_of("state must be open, resolved or archived").into()),
        };
        let severity = query.get("severity").map(|text| {
            severity(text).ok_or(one_of(
                "severity must be critical, high, medium, low or info",
            ))
        });
        let kind = query.name("integration_type", "integration_type must be a type's name")?;
        let check = query.name("check_id", "check_id must be a check's id")?;
        Ok(Self {
            scope: Scope::parse(query)?,
            state: State(state),
            severity: severity.transpose()?,
            integration_type: kind.map(str::to_owned),
            check: check.map(str::to_owned),
            muted: query.flag("muted", "muted must be true or false")?,
        })
    }

    /// The view to read: of muted findings one that finds them by their mutes, unless an integration bounds how many there are.
    pub fn view(&self) -> &'static str {
        match (self.muted, self.scope.integration) {
            (Some(true), None) => "muted_finding_list",
            _ => "finding_list",
        }
    }

    /// The filter of PostgREST. By the first digit of the sort key instead of by the severity: an index has that.
    pub fn filter(&self) -> String {
        let State(state) = self.state;
        let mut filter = format!("{}&state=eq.{state}", self.scope.filter());
        if let Some(severity) = self.severity {
            let rank = rank(severity);
            filter += &format!("&sort_key=gte.{rank}&sort_key=lt.{}", rank + 1);
        }
        if let Some(kind) = &self.integration_type {
            filter += &format!("&integration_type=eq.{kind}");
        }
        if let Some(check) = &self.check {
            filter += &format!("&check_id=eq.{check}");
        }
        if let Some(muted) = self.muted {
            filter += &format!("&muted=is.{muted}");
        }
        filter
    }
}

/// The severity of this name.
pub fn severity(text: &str) -> Option<Severity> {
    Some(match text {
        "critical" => Severity::Critical,
        "high" => Severity::High,
        "medium" => Severity::Medium,
        "low" => Severity::Low,
        "info" => Severity::Info,
        _ => return None,
    })
}

/// The first digit of the sort key.
fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 1,
        Severity::High => 2,
        Severity::Medium => 3,
        Severity::Low => 4,
        Severity::Info => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn filter(query: &str) -> Result<String> {
        let query = Query::parse(query, &Filter::NAMES, "expected")?;
        query.limit()?;
        Ok(Filter::parse(&query)?.filter())
    }

    // threat model 24
    #[test]
    fn a_filter_is_made_of_known_words_and_ids() {
        assert_eq!(filter("").unwrap(), "&state=eq.open");
        assert_eq!(
            filter(&format!("organization_id={ID}&integration_id={ID}&state=resolved&severity=low&integration_type=supabase&check_id=a_1&muted=false")).unwrap(),
            format!("&organization_id=eq.{ID}&integration_id=eq.{ID}&state=eq.resolved&sort_key=gte.4&sort_key=lt.5&integration_type=eq.supabase&check_id=eq.a_1&muted=is.false"),
        );
        for wrong in [
            "state=all",
            "state=open&state=open",
            "severity=High",
            "severity=1",
            "integration_type=a.b",
            "integration_type=",
            "check_id=a%26or%3D(id.gt.0)",
            &format!("check_id={}", "a".repeat(101)),
            "muted=1",
            "limit=0",
            "limit=201",
            "limit=%2B1",
            "organization_id=x",
            "integration_id=",
            "select=*",
            "order=id",
        ] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_a_name_it_is_the_callers_organization() {
        let own = OrganizationId::parse(ID).unwrap();
        let scope = |query| {
            let query = Query::parse(query, &Filter::NAMES, "expected").unwrap();
            Scope::parse(&query).unwrap().or(Some(own)).filter()
        };
        let other = "00000000-0000-4000-8000-000000000001";
        assert_eq!(scope(""), format!("&organization_id=eq.{ID}"));
        let named = format!("integration_id={other}");
        assert_eq!(scope(&named), format!("&integration_id=eq.{other}"));
    }
}
