use std::cell::RefCell;

use kms::WrappingKeys;
use sealed::{Form, Kid, RowContext, form};
use serde_json::json;

use super::elsewhere;
use super::finding::Finding;
use super::findings::{Findings, ListArgs};
use super::opening::Opening;
use super::row_counts::{Look, MAX_ORGANIZATIONS, RowCounts, Seen};
use super::scan::scan;
use super::scope::Scope;
use crate::config;
use crate::data_keys::DataKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::shown::rows;
use crate::store::{Function, Row, Rows};
/// How many keys one call of `record_keys` takes.
const MAX_RECORDED: usize = 64;

/// Reads rows, and opens them if there are keys. It writes nothing.
pub struct Inspect<'a> {
    ring: Option<&'a WrappingKeys>,
    by_organization: bool,
    seen: RefCell<Seen>,
    findings: RefCell<Findings>,
}

impl<'a> Inspect<'a> {
    pub fn new(ring: Option<&'a WrappingKeys>, findings: Findings) -> Self {
        Self {
            ring,
            by_organization: false,
            seen: RefCell::default(),
            findings: RefCell::new(findings),
        }
    }

    /// Also counts the rows of each organization.
    pub fn by_organization(mut self) -> Self {
        self.by_organization = true;
        self
    }

    pub fn seen(self) -> (Seen, Findings) {
        (self.seen.into_inner(), self.findings.into_inner())
    }

    /// Reads the data keys of these rows, and looks at them.
    pub async fn page(&self, connection: &dyn Rows, rows: Vec<Row>) -> Result<()> {
        let organizations = rows.iter().map(|row| row.organization_id);
        let data_keys = DataKeys::of(connection, self.ring, organizations).await?;
        self.look_at(rows, &data_keys);
        Ok(())
    }

    fn look_at(&self, rows: Vec<Row>, data_keys: &DataKeys) {
        for row in rows {
            let context = RowContext {
                organization_id: row.organization_id,
                integration_id: row.id,
            };
            let (form, finding) = self.judge(context, data_keys, &row.config);
            let look = Look {
                form,
                named: form.and_then(|form| data_keys.named(row.organization_id, form)),
                fault: finding
                    .as_ref()
                    .map(|finding| (finding.class, finding.kind)),
            };
            let seen = &mut *self.seen.borrow_mut();
            seen.all.count(look, self.ring);
            if let Some(named) = look.named {
                let known = seen.with_data_keys.entry(named.wrapping_kid).or_default();
                if known.len() < MAX_ORGANIZATIONS {
                    known.insert(row.organization_id);
                }
            }
            if self.by_organization {
                let organization = row.organization_id;
                let is_known = seen.organizations.contains_key(&organization);
                let counts = if is_known || seen.organizations.len() < MAX_ORGANIZATIONS {
                    seen.organizations.entry(organization).or_default()
                } else {
                    &mut seen.others
                };
                counts.count(look, self.ring);
            }
            if let Some(finding) = finding {
                self.findings.borrow_mut().add(finding);
            }
        }
    }

    fn judge(
        &self,
        context: RowContext,
        data_keys: &DataKeys,
        config: &str,
    ) -> (Option<Form>, Option<Finding>) {
        let config = match config::parse(config) {
            Ok(config) => config,
            Err(why) => return (None, Some(Finding::not_a_config(context, why))),
        };
        let opened = self.ring.map(|ring| data_keys.open(ring, context, &config));
        (Some(form(&config)), opened.and_then(Result::err))
    }
}

/// Keeps which keys rows were found to be sealed with: only those can be retired.
pub async fn record_keys(session: &Session, counts: &RowCounts) -> Result<()> {
    let kids: Vec<Kid> = counts.opened_with.iter().copied().collect();
    for kids in kids.chunks(MAX_RECORDED) {
        session.call(Function::RecordKeys { kids }).await?;
    }
    Ok(())
}

/// Opens every row, counts them, and lists those that do not open.
pub async fn count(
    session: &Session,
    phase: &'static str,
    ring: &WrappingKeys,
    scope: &Scope,
    opening: &Opening,
    findings: Findings,
) -> Result<(RowCounts, Findings)> {
    let inspect = Inspect::new(Some(ring), findings);
    scan(
        session,
        phase,
        Some(opening),
        scope,
        None,
        async |connection, rows| inspect.page(connection, rows).await,
    )
    .await?;
    let (seen, findings) = inspect.seen();
    record_keys(session, &seen.all).await?;
    findings.report(&session.progress)?;
    Ok((seen.all, findings))
}

/// Opens every row, counts those that do not open, and fails if there is one.
pub async fn ensure_all_open(
    session: &Session,
    ring: &WrappingKeys,
    scope: &Scope,
    findings: Findings,
) -> Result<RowCounts> {
    let opening = Opening::new("verify", None);
    let (counts, findings) = count(session, "verify", ring, scope, &opening, findings).await?;
    let kids: Vec<String> = ring.kids().map(|kid| kid.to_string()).collect();
    let sealed_elsewhere = session.registry().await?.elsewhere;
    let sentence = format!(
        "{} of {}{} open with {}, {} of them hold nothing sealed",
        counts.rows - counts.do_not_open(),
        rows(counts.rows),
        scope.of_part(),
        kids.join(", "),
        counts.empty
    );
    let event = json!({
        "event": "verified", "kids": kids, "part": scope.to_json(), "tally": counts.to_json(),
        "sealed_elsewhere": sealed_elsewhere.to_json(),
    });
    session.progress.step(&event, &sentence)?;
    if !scope.is_everything() {
        findings.ensure_none()?;
        return Ok(counts);
    }
    if !session.progress.is_json() {
        session.progress.say(&sealed_elsewhere.to_sentence())?;
    }
    let damaged = elsewhere::open_all(session, ring, &opening).await?;
    damaged.report(&session.progress)?;
    findings.ensure_none()?;
    damaged.ensure_none()?;
    Ok(counts)
}

/// Every row opens with the ring's one key and is sealed with it, and nothing else is sealed with another: no other key is needed for
/// anything. `all` are the keys that are here.
pub async fn ensure_no_other_key(
    session: &Session,
    alone: &WrappingKeys,
    all: &WrappingKeys,
) -> Result<RowCounts> {
    let kid = alone.primary_kid();
    let findings = Findings::new(ListArgs::default(), &session.progress)
        .with_primary_only(all)
        .allowing_missing_data_keys();
    let counts = ensure_all_open(session, alone, &Scope::default(), findings).await?;
    session
        .registry()
        .await?
        .elsewhere
        .ensure_only(alone, all)?;
    match counts.not_on(kid) {
        0 => Ok(counts),
        count => Err(Error::new(
            ErrorKind::Database,
            format!("{} not sealed with key {kid}", rows(count)),
        )
        .hint("run `keytool rotate` again")),
    }
}
