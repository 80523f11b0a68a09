//! Rewraps rows, pass after pass, until a pass finds nothing to do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use sealed::{KeyRing, Kid, RowContext};
use serde_json::{Value, json};
use tokio::task::yield_now;

use super::findings::{Findings, ListArgs};
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
use crate::store::{Function, Patch, Row, Rows, unexpected_outcome};

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
    let rewrap = Rewrap::new(session, ring, throttle, list, false);
    let outcome = rewrap.passes(scope).await;
    // What was rewrapped is recorded even if the rotation failed or was stopped. Then its own error is the one to report.
    let recorded = record(session, ring.primary_kid()).await;
    session.progress.recorded();
    let total = outcome?;
    recorded?;
    total.findings.report(&session.progress)?;
    if total.is_done {
        return finish(session, ring.primary_kid(), &total);
    }
    let message = format!("rows on other keys keep coming after {MAX_PASSES} passes");
    Err(Error::new(ErrorKind::Database, message).hint(format!(
        "something still seals with another key than {}: switch every deployment first",
        ring.primary_kid()
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
    let rewrap = Rewrap::new(session, ring, throttle, list, true);
    let pass = rewrap.pass(scope).await?;
    let written = pass.written.get();
    let findings = pass.findings.into_inner();
    findings.report(&session.progress)?;
    let kid = ring.primary_kid();
    session.progress.step(
        &json!({"event": "dry_run", "kid": kid.to_string(), "would_write": written, "does_not_open": findings.count()}),
        &format!("would rewrap {} with key {kid}; {} not open", rows(written), do_not(findings.count())),
    )?;
    findings.ensure_none()
}

/// Writes the events of what was rewrapped with the key, also of an earlier run that was killed. It also makes the writes before it
/// durable: until then, a crash of the server may undo them.
async fn record(session: &Session, kid: Kid) -> Result<()> {
    let mut part = 0;
    loop {
        match session.call(Function::RecordRotation { kid, part }).await? {
            Value::Null => return Ok(()),
            // The parts rise, so this ends.
            next => match next.as_u64().and_then(|next| u8::try_from(next).ok()) {
                Some(next) if next > part => part = next,
                _ => return Err(unexpected_outcome("parts that do not rise")),
            },
        }
    }
}

fn finish(session: &Session, kid: Kid, total: &Total) -> Result<()> {
    let Total {
        written,
        lost,
        passes,
        findings,
        ..
    } = total;
    let elapsed = session.progress.elapsed();
    session.progress.step(
        &json!({
            "event": "rewrapped", "kid": kid.to_string(), "written": written, "lost_races": lost, "passes": passes,
            "does_not_open": findings.count(), "elapsed_ms": elapsed.as_millis() as u64,
        }),
        &format!(
            "rewrapped {} with key {kid} in {:.1} s, {lost} rewritten by others meanwhile and read again; {} not open",
            rows(*written),
            elapsed.as_secs_f64(),
            do_not(findings.count()),
        ),
    )?;
    findings.ensure_none()
}

/// What a rotation shares between its passes.
struct Rewrap<'a> {
    session: &'a Session,
    ring: &'a KeyRing,
    throttle: &'a Throttle,
    list: ListArgs,
    dry_run: bool,
    opening: Opening,
    /// The keys that `record_keys` knows already.
    recorded: RefCell<BTreeSet<Kid>>,
}

/// Of all passes together; `findings` are those of the last one.
struct Total {
    passes: u32,
    written: u64,
    lost: u64,
    findings: Findings,
    /// The last pass found nothing to do.
    is_done: bool,
}

/// One pass and its counts. The database does not send rows that are on the primary key, so they are not counted.
struct Pass<'a> {
    of: &'a Rewrap<'a>,
    /// The number of rows written; in a dry run, of those that it would write.
    written: Cell<u64>,
    /// The row was changed after it was read. The other writer's version stays.
    lost: Cell<u64>,
    findings: RefCell<Findings>,
}

impl<'a> Rewrap<'a> {
    fn new(
        session: &'a Session,
        ring: &'a KeyRing,
        throttle: &'a Throttle,
        list: ListArgs,
        dry_run: bool,
    ) -> Self {
        Self {
            session,
            ring,
            throttle,
            list,
            dry_run,
            opening: Opening::new("rotate", Some(ring.primary_kid())),
            recorded: RefCell::default(),
        }
    }

    async fn passes(&self, scope: &Scope) -> Result<Total> {
        let mut total = Total {
            passes: 0,
            written: 0,
            lost: 0,
            findings: Findings::new(self.list, &self.session.progress),
            is_done: false,
        };
        while !total.is_done && total.passes < MAX_PASSES {
            let pass = self.pass(scope).await?;
            let (written, lost) = (pass.written.get(), pass.lost.get());
            total = Total {
                passes: total.passes + 1,
                written: total.written + written,
                lost: total.lost + lost,
                findings: pass.findings.into_inner(),
                is_done: written == 0 && lost == 0,
            };
        }
        Ok(total)
    }

    async fn pass(&self, scope: &Scope) -> Result<Pass<'_>> {
        let pass = Pass {
            of: self,
            written: Cell::new(0),
            lost: Cell::new(0),
            findings: RefCell::new(Findings::new(self.list, &self.session.progress)),
        };
        let rotation = Rotation {
            kid: self.ring.primary_kid(),
            throttle: self.throttle,
        };
        let each = async |connection: &dyn Rows, rows| pass.page(connection, rows).await;
        scan(
            self.session,
            "rewrap",
            Some(&self.opening),
            scope,
            Some(rotation),
            each,
        )
        .await?;
        Ok(pass)
    }
}

impl Pass<'_> {
    /// Records which keys rows are about to be rewrapped from: only those can be retired.
    async fn record_keys(&self, connection: &dyn Rows, patches: &[Patch]) -> Result<()> {
        let is_new = |kid: &Kid| !self.of.recorded.borrow().contains(kid);
        let kids: BTreeSet<Kid> = patches
            .iter()
            .filter_map(|patch| patch.from)
            .filter(is_new)
            .collect();
        let kids: Vec<Kid> = kids.into_iter().collect();
        if !kids.is_empty() {
            let call = Function::RecordKeys { kids: &kids };
            retry(async || connection.call(call).await).await?;
            self.of.recorded.borrow_mut().extend(kids);
        }
        Ok(())
    }

    async fn page(&self, connection: &dyn Rows, rows: Vec<Row>) -> Result<()> {
        let patches = self.seal(rows).await?;
        if patches.is_empty() {
            return Ok(());
        }
        let written = if self.of.dry_run {
            patches.len() as u64
        } else {
            self.record_keys(connection, &patches).await?;
            self.of.throttle.admit(patches.len()).await?;
            // A call that is repeated after a lost response may count its own earlier writes as lost races. The next pass finds those rows on the
            // primary key.
            retry(async || connection.write(&patches).await).await?
        };
        let Some(lost) = (patches.len() as u64).checked_sub(written) else {
            let message = "the database says that it wrote more rows than it was given";
            return Err(Error::new(ErrorKind::Database, message)
                .hint("is it the right database, and are its migrations those of this version?"));
        };
        self.written.set(self.written.get() + written);
        self.lost.set(self.lost.get() + lost);
        self.of.session.progress.wrote(written);
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
            match reseal(self.of.ring, &context, config, &mut random)? {
                Verdict::Fine => {}
                Verdict::Patch { json, from } => patches.push(Patch {
                    id: row.id,
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
