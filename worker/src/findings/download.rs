//! `GET /api/export`: findings and the coverage of checks as a file.

use crate::auth::service_key;
use crate::context::Context;
use crate::db::findings::{self as rows, Finding, OpenIn};
use crate::db::integration;
use crate::db::lists;
use crate::db::mutes::{self, Mute};
use crate::db::page::{page, rows_of};
use crate::db::pages::pages;
use crate::db::project::Reader;
use crate::error::{ClientError, Result};
use crate::findings::assessments::{self, last_judged};
use crate::findings::export::{
    self, Cursor, EVIDENCE_MAX, FINDINGS_MAX, INTEGRATIONS_MAX, Section,
};
use crate::findings::filter::Scope;
use crate::host::now_seconds;
use crate::http::query::Query;
use crate::http::{ContentType, Response};
use crate::ids::{AssessmentId, OrganizationId};
use crate::integrations::detail;
use checks::Format;

/// How many findings are asked for at once: with as much evidence as there may be, their answer stays within its bound.
const ROWS: usize = 100;

/// `GET /api/export`: of an integration, an organization's, or a past run. What does not fit has a Link header (RFC 8288).
pub async fn download(context: &Context<'_>) -> Result<Response> {
    let query = Query::parse(
        &context.incoming.head.query,
        &[
            "organization_id",
            "integration_id",
            "assessment_id",
            "format",
            "cursor",
        ],
        "expected organization_id, integration_id, assessment_id, format or cursor, each once",
    )?;
    let format = export::format(query.get("format"))?;
    let scope = Scope::parse(&query)?;
    let run = query
        .get("assessment_id")
        .map(AssessmentId::parse)
        .transpose()?;
    if run.is_some() && (scope.organization.is_some() || scope.integration.is_some()) {
        let alone = "assessment_id must be alone: it names one integration's run";
        return Err(ClientError::Invalid(alone).into());
    }
    let cursor = query.get("cursor").map(Cursor::parse).transpose()?;
    let principal = context.principal(service_key::Scope::FindingsRead).await?;
    let (sections, next) = match run {
        Some(run) => collect_run(context, &principal.reader, run, cursor).await?,
        None => {
            let scope = scope.or(principal.organization);
            collect(context, &principal.reader, scope, cursor).await?
        }
    };
    let exports: Vec<_> = sections.iter().map(Section::export).collect();
    let media = match format {
        Format::Csv => ContentType::Csv,
        _ => ContentType::Json,
    };
    let name = export::file_name(format);
    let response = Response::text(media, format.write(&exports)).with_header(
        "content-disposition",
        format!("attachment; filename=\"{name}\""),
    );
    Ok(match next {
        None => response,
        Some(next) => {
            let mut link = form_urlencoded::Serializer::new(String::new());
            for name in [
                "organization_id",
                "integration_id",
                "assessment_id",
                "format",
            ] {
                if let Some(value) = query.get(name) {
                    link.append_pair(name, value);
                }
            }
            let link = link.append_pair("cursor", &next).finish();
            response.with_header("link", format!("</api/export?{link}>; rel=\"next\""))
        }
    })
}

/// What one answer has room for.
struct Room {
    findings: usize,
    evidence: usize,
}

impl Room {
    fn new() -> Self {
        Self {
            findings: FINDINGS_MAX,
            evidence: EVIDENCE_MAX,
        }
    }

    fn is_full(&self) -> bool {
        self.findings == 0 || self.evidence == 0
    }

    /// Findings after a cursor, as many as fit. Afterwards `after` is where the next answer begins, or None.
    async fn take(
        &mut self,
        context: &Context<'_>,
        reader: &Reader,
        open: OpenIn,
        after: &mut Option<String>,
    ) -> Result<Vec<Finding>> {
        let project = &context.settings.supabase;
        let mut findings: Vec<Finding> = Vec::new();
        loop {
            let request =
                |after: &str, limit| rows::open_request(project, reader, open, after, limit);
            let limit = ROWS.min(self.findings);
            let (rows, next) = page("findings", after.as_deref(), limit, request).await?;
            self.findings -= rows.len();
            let weight: usize = rows.iter().map(weight).sum();
            self.evidence = self.evidence.saturating_sub(weight);
            findings.extend(rows);
            *after = next;
            if after.is_none() || self.is_full() {
                return Ok(findings);
            }
        }
    }
}

/// What a run saw, and the findings that were open when it ended.
async fn collect_run(
    context: &Context<'_>,
    reader: &Reader,
    id: AssessmentId,
    cursor: Option<Cursor>,
) -> Result<(Vec<Section>, Option<String>)> {
    let run = assessments::found(context, reader, id).await?;
    let finished =
        export::finished(&run).ok_or(ClientError::NoSuch("the assessment has not ended"))?;
    let entry = checks::entry(&run.integration_type).ok_or(ClientError::NotAssessable)?;
    let mut after = cursor
        .filter(|cursor| cursor.integration == run.integration_id)
        .and_then(|cursor| cursor.finding);
    let is_first = after.is_none();
    let checks = match is_first {
        true => assessments::checks_of(context, reader, id).await?,
        // The answer before this one had them.
        false => Vec::new(),
    };
    // A run that ended without looking says nothing of any check: each is unknown.
    let has_looked = !is_first || !checks.is_empty();
    let findings = Room::new()
        .take(context, reader, OpenIn::Run(id), &mut after)
        .await?;
    let mutes = active_mutes(context, reader, run.organization_id).await?;
    let (integration, account) = (run.integration_id, run.account_id.clone());
    let judged = (run, checks);
    let section = Section::new(
        entry,
        (integration, account),
        has_looked.then_some(&judged),
        findings,
        &mutes,
        finished,
    );
    let next = after.map(|finding| format!("{integration}.{finding}"));
    Ok((vec![section], next))
}

/// What one answer holds, and the cursor of the next one.
async fn collect(
    context: &Context<'_>,
    reader: &Reader,
    scope: Scope,
    cursor: Option<Cursor>,
) -> Result<(Vec<Section>, Option<String>)> {
    let project = &context.settings.supabase;
    let organization = match (scope.integration, scope.organization) {
        (Some(id), _) => detail::owner(context, reader, id).await?.organization_id,
        (None, Some(organization)) => organization,
        (None, None) => {
            return Err(ClientError::Invalid(
                "name organization_id or integration_id with a service key of all organizations",
            )
            .into());
        }
    };
    let kinds = checks::types();
    let request = integration::assessable_request(
        project,
        reader,
        scope,
        &kinds,
        cursor.as_ref(),
        INTEGRATIONS_MAX + 1,
    );
    let integrations: Vec<integration::Assessable> = rows_of("integrations", &request).await?;
    let mutes = active_mutes(context, reader, organization).await?;
    let mut within = cursor.and_then(|cursor| Some((cursor.integration, cursor.finding?)));
    let (mut sections, mut room) = (Vec::new(), Room::new());
    for integration in &integrations {
        if sections.len() == INTEGRATIONS_MAX || room.is_full() {
            break;
        }
        let Some(entry) = checks::entry(&integration.integration_type) else {
            continue;
        };
        let mut after = within
            .take()
            .and_then(|(id, finding)| (id == integration.id).then_some(finding));
        let mut run = last_judged(context, reader, integration.id).await?;
        if let (Some(_), Some((_, checks))) = (&after, &mut run) {
            // The answer before this one had them.
            checks.clear();
        }
        let open = OpenIn::Integration(integration.id);
        let findings = room.take(context, reader, open, &mut after).await?;
        let named = (integration.id, integration.external_account_id.clone());
        let now = now_seconds();
        sections.push(Section::new(
            entry,
            named,
            run.as_ref(),
            findings,
            &mutes,
            now,
        ));
        if let Some(finding) = after {
            return Ok((sections, Some(format!("{}.{finding}", integration.id))));
        }
        let is_last = integrations
            .last()
            .is_some_and(|last| last.id == integration.id);
        let full = sections.len() == INTEGRATIONS_MAX || room.is_full();
        if full && !is_last {
            return Ok((sections, Some(integration.id.to_string())));
        }
    }
    // The project may answer fewer rows than it was asked for ("Max rows"), so only another request tells whether these were all.
    let Some(last) = integrations.last() else {
        return Ok((sections, None));
    };
    let after = Cursor {
        integration: last.id,
        finding: None,
    };
    let request = integration::assessable_request(project, reader, scope, &kinds, Some(&after), 1);
    let more: Vec<integration::Assessable> = rows_of("integrations", &request).await?;
    Ok((sections, (!more.is_empty()).then(|| last.id.to_string())))
}

/// How many bytes a finding's evidence takes.
fn weight(finding: &Finding) -> usize {
    let evidence = finding.evidence.as_ref();
    evidence.map_or(0, |evidence| {
        serde_json::to_string(evidence).map_or(0, |text| text.len())
    })
}

async fn active_mutes(
    context: &Context<'_>,
    reader: &Reader,
    organization: OrganizationId,
) -> Result<Vec<Mute>> {
    let project = &context.settings.supabase;
    let request = |offset| mutes::active_request(project, reader, organization, None, offset);
    let (pages, _) = pages("mutes", request).await?;
    lists::rows(&pages, "mutes")
}
