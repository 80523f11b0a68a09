use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sealed::{Form, KeyRing, Kid, RowContext, form};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::elsewhere;
use super::finding::{Class, Finding};
use super::findings::{Findings, ListArgs};
use super::opening::Opening;
use super::scan::scan;
use super::scope::Scope;
use crate::config;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::shown::rows;
use crate::store::{Function, Row};

/// How many keys and organizations are counted separately, so that memory is bounded. The rest are counted together.
const MAX_KIDS: usize = 1000;
const MAX_ORGANIZATIONS: usize = 20_000;

/// How many keys one call of `record_keys` takes.
const MAX_RECORDED: usize = 64;

/// Reads rows, and opens them if there are keys. It writes nothing.
pub struct Inspect<'a> {
    ring: Option<&'a KeyRing>,
    by_organization: bool,
    seen: RefCell<Seen>,
    findings: RefCell<Findings>,
}

/// The counts of the table, or of one organization.
#[derive(Clone, Debug, Default)]
pub struct RowCounts {
    pub rows: u64,
    pub by_kid: BTreeMap<Kid, u64>,
    pub other_kids: u64,
    pub legacy: u64,
    pub empty: u64,
    /// No form that this program knows.
    pub unreadable: u64,
    /// On the primary key, and it opens.
    pub done: u64,
    pub classes: BTreeMap<Class, u64>,
    /// Keys of the ring that have opened a row.
    opened_with: BTreeSet<Kid>,
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
        self.classes.values().sum()
    }

    /// Rows that hold something sealed and are not on the primary key, or do not open.
    pub fn left(&self) -> u64 {
        self.rows - self.empty - self.done
    }

    /// Tenths of a per cent, rounded down: 1000 only if nothing is left.
    pub fn done_per_mille(&self) -> u64 {
        match self.rows - self.empty {
            0 => 1000,
            sealed => self.done.saturating_mul(1000) / sealed,
        }
    }

    /// The rows that are sealed with another key than this one, or of the legacy form.
    pub fn not_on(&self, kid: Kid) -> u64 {
        let current: u64 = self.by_kid.values().sum();
        current - self.by_kid.get(&kid).unwrap_or(&0) + self.other_kids + self.legacy
    }

    fn count(&mut self, form: Option<Form>, fault: Option<Class>, ring: Option<&KeyRing>) {
        self.rows += 1;
        match form {
            Some(Form::V2(kid)) => {
                if let (None, Some(ring)) = (fault, ring) {
                    self.opened_with.insert(kid);
                    self.done += u64::from(kid == ring.primary_kid());
                }
                if self.by_kid.len() < MAX_KIDS || self.by_kid.contains_key(&kid) {
                    *self.by_kid.entry(kid).or_default() += 1;
                } else {
                    self.other_kids += 1;
                }
            }
            Some(Form::Legacy) => self.legacy += 1,
            Some(Form::Empty) => self.empty += 1,
            _ => self.unreadable += 1,
        }
        if let Some(class) = fault {
            *self.classes.entry(class).or_default() += 1;
        }
    }

    pub fn to_json(&self) -> Value {
        let by_kid: Map<_, _> = self
            .by_kid
            .iter()
            .map(|(kid, rows)| (kid.to_string(), json!(rows)))
            .collect();
        let classes: Map<_, _> = self
            .classes
            .iter()
            .map(|(class, rows)| (class.as_str().to_owned(), json!(rows)))
            .collect();
        json!({
            "rows": self.rows,
            "by_kid": by_kid,
            "other_kids": self.other_kids,
            "legacy_form": self.legacy,
            "nothing_sealed": self.empty,
            "unreadable": self.unreadable,
            "does_not_open": self.do_not_open(),
            "classes": classes,
        })
    }
}

impl<'a> Inspect<'a> {
    pub fn new(ring: Option<&'a KeyRing>, findings: Findings) -> Self {
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

    pub fn page(&self, rows: Vec<Row>) {
        for row in rows {
            let context = RowContext {
                organization_id: row.organization_id,
                integration_id: row.id,
            };
            let (form, finding) = self.judge(context, row.config.as_deref().unwrap_or_default());
            let class = finding.as_ref().map(|finding| finding.class);
            let seen = &mut *self.seen.borrow_mut();
            seen.all.count(form, class, self.ring);
            if self.by_organization {
                let organization = row.organization_id;
                let is_known = seen.organizations.contains_key(&organization);
                let counts = if is_known || seen.organizations.len() < MAX_ORGANIZATIONS {
                    seen.organizations.entry(organization).or_default()
                } else {
                    &mut seen.others
                };
                counts.count(form, class, self.ring);
            }
            if let Some(finding) = finding {
                self.findings.borrow_mut().add(finding);
            }
        }
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
        (
            Some(form),
            error.map(|error| Finding::new(context, form, &error)),
        )
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
    ring: &KeyRing,
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
        async |_, rows| {
            inspect.page(rows);
            Ok(())
        },
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
    ring: &KeyRing,
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
    alone: &KeyRing,
    all: &KeyRing,
) -> Result<RowCounts> {
    let kid = alone.primary_kid();
    let findings = Findings::new(ListArgs::default(), &session.progress).with_primary_only(all);
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

#[cfg(test)]
mod tests {
    use sealed::{Fault, Key};

    use super::*;

    #[test]
    fn a_rotation_is_done_when_nothing_is_left_and_not_before() {
        let ring = KeyRing::new(Key::from_bytes([1; 32]), Vec::new()).unwrap();
        let on_primary = Some(Form::V2(ring.primary_kid()));
        let mut counts = RowCounts::default();
        assert_eq!((counts.done_per_mille(), counts.left()), (1000, 0));
        for _ in 0..9999 {
            counts.count(on_primary, None, Some(&ring));
        }
        assert_eq!((counts.done_per_mille(), counts.left()), (1000, 0));
        counts.count(Some(Form::Empty), None, Some(&ring));
        assert_eq!((counts.done_per_mille(), counts.left()), (1000, 0));
        // One that names the primary key and does not open is left.
        let fault = Some(Class::Fault(Fault::NotAuthentic));
        counts.count(on_primary, fault, Some(&ring));
        assert_eq!((counts.done_per_mille(), counts.left()), (999, 1));
        counts.count(None, Some(Class::NoObject), Some(&ring));
        counts.count(Some(Form::Legacy), None, Some(&ring));
        assert_eq!((counts.done_per_mille(), counts.left()), (999, 3));
        let by_kid: u64 = counts.by_kid.values().sum();
        assert_eq!(
            by_kid + counts.legacy + counts.empty + counts.unreadable,
            counts.rows
        );
    }
}
