//! Rewraps rows, pass after pass, until a pass finds nothing to do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use sealed::{KeyRing, Kid, RowContext};
use serde_json::json;
use tokio::task::yield_now;

use super::findings::{Findings, ListArgs};
use super::moved::Moved;
use super::opening::Opening;
use super::reseal::{Verdict, reseal};
use super::scan::{Rotation, scan};
use super::scope::Scope;
use super::throttle::Throttle;
use crate::error::{Error, ErrorKind, Result};
use crate::random;
use crate::session::Session;
use crate::shown::{do_not, rows};
use crate::store::retry::retry;
use crate::store::{Function, Patch, Row, Rows};

/// After this many passes, rows on another key are no leftovers: a writer still seals with that key.
const MAX_PASSES: u32 = 8;

/// The number of rows that are sealed between two polls of the connection. Without the polls, the connection and the server would be
/// idle until a whole page is sealed.
const AT_ONCE: usize = 32;

/// Repeats passes over the rows until one finds nothing to do.
pub async fn rewrap(
    session: &Session,
    ring: &KeyRing,
    scope: &Scope,
    throttle: &Throttle,
    list: ListArgs,
) -> Result<()> {
    let kid = ring.primary_kid();
    let (mut written, mut lost) = (0, 0);
    let opening = Opening::new("rotate", Some(ring.primary_kid()));
    let moved = Moved::default();
    let recorded = RefCell::default();
    let mut findings = Findings::new(list, &session.progress);
    for number in 1..=MAX_PASSES {
        let pass = Pass {
            session,
            ring,
            throttle,
            opening: &opening,
            moved: &moved,
            recorded: &recorded,
            dry_run: false,
            written: Cell::new(0),
            lost: Cell::new(0),
            findings: RefCell::new(Findings::new(list, &session.progress)),
        };
        pass.run(scope).await?;
        written += pass.written.get();
        lost += pass.lost.get();
        let is_last = pass.written.get() == 0 && pass.lost.get() == 0;
        findings = pass.findings.into_inner();
        if is_last {
            moved.record(session.connection(), kid).await?;
            return finish(session, kid, number, (written, lost), &findings);
        }
    }
    moved.record(session.connection(), kid).await?;
    findings.report(&session.progress)?;
    let message = format!("rows on other keys keep coming after {MAX_PASSES} passes");
    Err(Error::new(ErrorKind::Database, message).hint(format!(
        "something still seals with another key than {kid}: switch every deployment first"
    )))
}

/// Opens and seals every row, but writes nothing.
pub async fn dry_run(
    session: &Session,
    ring: &KeyRing,
    scope: &Scope,
    throttle: &Throttle,
    list: ListArgs,
) -> Result<()> {
    let opening = Opening::new("rotate", Some(ring.primary_kid()));
    let moved = Moved::default();
    let recorded = RefCell::default();
    let pass = Pass {
        session,
        ring,
        throttle,
        opening: &opening,
        moved: &moved,
        recorded: &recorded,
        dry_run: true,
        written: Cell::new(0),
        lost: Cell::new(0),
        findings: RefCell::new(Findings::new(list, &session.progress)),
    };
    pass.run(scope).await?;
    let written = pass.written.get();
    let findings = pass.findings.into_inner();
    findings.report(&session.progress)?;
    let kid = ring.primary_kid();
    session.progress.step(
        &json!({"event": "dry_run", "kid": kid.to_string(), "would_write": written, "does_not_open": findings.count()}),
        &format!("would move {} to key {kid}; {} not open", rows(written), do_not(findings.count())),
    )?;
    findings.ensure_none()
}

fn finish(
    session: &Session,
    kid: Kid,
    passes: u32,
    (written, lost): (u64, u64),
    findings: &Findings,
) -> Result<()> {
    findings.report(&session.progress)?;
    let elapsed = session.progress.elapsed();
    session.progress.step(
        &json!({
            "event": "rewrapped", "kid": kid.to_string(), "written": written, "lost_races": lost, "passes": passes,
            "does_not_open": findings.count(), "elapsed_ms": elapsed.as_millis() as u64,
        }),
        &format!(
            "moved {} to key {kid} in {:.1} s, {lost} rewritten by others meanwhile and read again; {} not open",
            rows(written),
            elapsed.as_secs_f64(),
            do_not(findings.count()),
        ),
    )?;
    findings.ensure_none()
}

/// One pass and its counts. The database does not send rows that are on the primary key, so they are not counted.
struct Pass<'a> {
    session: &'a Session,
    ring: &'a KeyRing,
    throttle: &'a Throttle,
    opening: &'a Opening,
    moved: &'a Moved,
    /// The keys that `record_keys` knows already.
    recorded: &'a RefCell<BTreeSet<Kid>>,
    dry_run: bool,
    /// The number of rows written; in a dry run, of those that it would write.
    written: Cell<u64>,
    /// The row was changed after it was read. The other writer's version stays.
    lost: Cell<u64>,
    findings: RefCell<Findings>,
}

impl Pass<'_> {
    async fn run(&self, scope: &Scope) -> Result<()> {
        let rotation = Rotation {
            kid: self.ring.primary_kid(),
            throttle: self.throttle,
        };
        let each = async |connection: &dyn Rows, rows| self.page(connection, rows).await;
        scan(
            self.session,
            "rewrap",
            Some(self.opening),
            scope,
            Some(rotation),
            each,
        )
        .await
    }

    /// Keeps which keys rows are moved away from, before they are: only those can be retired.
    async fn record_keys(&self, connection: &dyn Rows, patches: &[Patch]) -> Result<()> {
        let is_new = |kid: &Kid| !self.recorded.borrow().contains(kid);
        let kids: BTreeSet<Kid> = patches
            .iter()
            .filter_map(|patch| patch.from)
            .filter(is_new)
            .collect();
        let kids: Vec<Kid> = kids.into_iter().collect();
        if !kids.is_empty() {
            let call = Function::RecordKeys { kids: &kids };
            retry(async || connection.call(call).await).await?;
            self.recorded.borrow_mut().extend(kids);
        }
        Ok(())
    }

    async fn page(&self, connection: &dyn Rows, rows: Vec<Row>) -> Result<()> {
        let patches = self.seal(rows).await?;
        if patches.is_empty() {
            return Ok(());
        }
        let written = if self.dry_run {
            patches.len() as u64
        } else {
            self.record_keys(connection, &patches).await?;
            self.throttle.admit(patches.len()).await?;
            // A call that is repeated after a lost response may count its own earlier writes as lost races. The next pass finds those rows on the
            // primary key.
            let written = retry(async || connection.write(&patches).await).await?;
            self.moved.add(&patches, &written);
            written
                .values()
                .fold(0, |sum: u64, rows| sum.saturating_add(*rows))
        };
        let Some(lost) = (patches.len() as u64).checked_sub(written) else {
            let message = "the database says that it wrote more rows than it was given";
            return Err(Error::new(ErrorKind::Database, message)
                .hint("is it the right database, and are its migrations those of this version?"));
        };
        self.written.set(self.written.get() + written);
        self.lost.set(self.lost.get() + lost);
        self.session.progress.wrote(written);
        Ok(())
    }

    async fn seal(&self, rows: Vec<Row>) -> Result<Vec<Patch>> {
        let mut patches = Vec::with_capacity(rows.len());
        let mut random = random::buffered();
        for (number, row) in rows.into_iter().enumerate() {
            if number % AT_ONCE == 0 {
                yield_now().await;
            }
            let Some(config) = &row.config else { continue };
            let context = RowContext {
                organization_id: row.organization_id,
                integration_id: row.id,
            };
            match reseal(self.ring, &context, config, &mut random)? {
                Verdict::Fine => {}
                Verdict::Patch { json, from } => patches.push(Patch {
                    id: row.id,
                    organization_id: row.organization_id,
                    from,
                    version: row.version,
                    json,
                }),
                Verdict::Finding(finding) => self.findings.borrow_mut().add(finding),
            }
        }
        Ok(patches)
    }
}
