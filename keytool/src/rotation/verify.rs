use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use sealed::{Form, KeyRing, Kid, RowContext, form};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::finding::{Class, Finding, ensure_none};
use super::opening::Opening;
use super::scan::scan;
use super::scope::Scope;
use crate::config;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::session::Session;
use crate::store::Row;

/// How many keys and organizations are counted separately, so that memory is bounded. The rest are counted together.
const MAX_KIDS: usize = 1000;
const MAX_ORGANIZATIONS: usize = 20_000;

/// Reads rows, and opens them if there are keys. It writes nothing.
pub struct Inspect<'a> {
    ring: Option<&'a KeyRing>,
    progress: &'a Progress,
    by_organization: bool,
    seen: RefCell<Seen>,
}

/// The counts of the table, or of one organization.
#[derive(Clone, Debug, Default)]
pub struct RowCounts {
    pub rows: u64,
    pub by_kid: BTreeMap<Kid, u64>,
    pub other_kids: u64,
    pub legacy: u64,
    pub empty: u64,
    pub findings: BTreeMap<Class, u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub all: RowCounts,
    pub organizations: HashMap<Uuid, RowCounts>,
    /// The rows of the organizations that are not counted separately.
    pub others: RowCounts,
}

impl RowCounts {
    pub fn do_not_open(&self) -> u64 {
        self.findings.values().sum()
    }

    /// The rows that are sealed with another key than this one, or of the legacy form.
    pub fn not_on(&self, kid: Kid) -> u64 {
        let current: u64 = self.by_kid.values().sum();
        current - self.by_kid.get(&kid).unwrap_or(&0) + self.other_kids + self.legacy
    }

    fn count(&mut self, form: Option<Form>, fault: Option<Class>) {
        self.rows += 1;
        match form {
            Some(Form::Current(kid)) => {
                if self.by_kid.len() < MAX_KIDS || self.by_kid.contains_key(&kid) {
                    *self.by_kid.entry(kid).or_default() += 1;
                } else {
                    self.other_kids += 1;
                }
            }
            Some(Form::Legacy) => self.legacy += 1,
            Some(Form::Empty) => self.empty += 1,
            _ => {}
        }
        if let Some(class) = fault {
            *self.findings.entry(class).or_default() += 1;
        }
    }

    pub fn to_json(&self) -> Value {
        let by_kid: Map<_, _> = self
            .by_kid
            .iter()
            .map(|(kid, rows)| (kid.to_string(), json!(rows)))
            .collect();
        let classes: Map<_, _> = self
            .findings
            .iter()
            .map(|(class, rows)| (class.as_str().to_owned(), json!(rows)))
            .collect();
        json!({
            "rows": self.rows,
            "by_kid": by_kid,
            "other_kids": self.other_kids,
            "legacy_form": self.legacy,
            "nothing_sealed": self.empty,
            "does_not_open": self.do_not_open(),
            "classes": classes,
        })
    }
}

impl<'a> Inspect<'a> {
    pub fn new(ring: Option<&'a KeyRing>, progress: &'a Progress) -> Self {
        Self {
            ring,
            progress,
            by_organization: false,
            seen: RefCell::default(),
        }
    }

    /// Also counts the rows of each organization.
    pub fn by_organization(mut self) -> Self {
        self.by_organization = true;
        self
    }

    pub fn seen(self) -> Seen {
        self.seen.into_inner()
    }

    pub fn page(&self, rows: Vec<Row>) -> Result<()> {
        for row in rows {
            let context = RowContext {
                organization_id: row.organization_id,
                integration_id: row.id,
            };
            let (form, finding) = self.judge(context, row.config.as_deref().unwrap_or_default());
            let class = finding.as_ref().map(|finding| finding.class);
            let seen = &mut *self.seen.borrow_mut();
            seen.all.count(form, class);
            if self.by_organization {
                let organization = row.organization_id;
                let is_known = seen.organizations.contains_key(&organization);
                let counts = if is_known || seen.organizations.len() < MAX_ORGANIZATIONS {
                    seen.organizations.entry(organization).or_default()
                } else {
                    &mut seen.others
                };
                counts.count(form, class);
            }
            if let Some(finding) = finding {
                self.progress
                    .step(&finding.to_event(), &finding.to_line())?;
            }
        }
        Ok(())
    }

    fn judge(&self, context: RowContext, config: &str) -> (Option<Form>, Option<Finding>) {
        let config = match config::parse(config) {
            Ok(config) => config,
            Err(why) => return (None, Some(Finding::not_a_config(context, why))),
        };
        let form = form(&config);
        let error = self
            .ring
            .and_then(|ring| ring.open(&context, &config).err());
        (Some(form), error.map(|error| Finding::new(context, &error)))
    }
}

/// Opens every row, counts them, and lists those that do not open.
pub async fn count(
    session: &Session,
    phase: &'static str,
    ring: &KeyRing,
    scope: &Scope,
) -> Result<RowCounts> {
    let inspect = Inspect::new(Some(ring), &session.progress);
    scan(
        session,
        phase,
        Some(&Opening::new("verify", None)),
        scope,
        None,
        async |_, rows| inspect.page(rows),
    )
    .await?;
    Ok(inspect.seen().all)
}

/// Opens every row, counts those that do not open, and fails if there is one.
pub async fn ensure_all_open(
    session: &Session,
    ring: &KeyRing,
    scope: &Scope,
) -> Result<RowCounts> {
    let counts = count(session, "verify", ring, scope).await?;
    let kids: Vec<String> = ring.kids().map(|kid| kid.to_string()).collect();
    let findings = counts.do_not_open();
    session.progress.step(
        &json!({"event": "verified", "kids": kids, "tally": counts.to_json()}),
        &format!(
            "{} of {} rows open with {}, {} of them hold nothing sealed",
            counts.rows - findings,
            counts.rows,
            kids.join(", "),
            counts.empty
        ),
    )?;
    ensure_none(findings)?;
    Ok(counts)
}

/// Fails unless every row opens with the ring's only key and is sealed with it.
pub async fn ensure_no_other_key(session: &Session, alone: &KeyRing) -> Result<()> {
    let kid = alone.primary_kid();
    let counts = ensure_all_open(session, alone, &Scope::default()).await?;
    match counts.not_on(kid) {
        0 => Ok(()),
        rows => Err(Error::new(
            ErrorKind::Database,
            format!("{rows} rows are not sealed with key {kid}"),
        )
        .hint("run `keytool rotate` again")),
    }
}
