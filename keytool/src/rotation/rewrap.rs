//! Rewraps data keys and reseals rows, pass after pass, until a pass finds nothing to do.

use std::cell::RefCell;
use std::collections::BTreeSet;

use sealed::Kid;
use serde_json::{Value, json};

use super::findings::Findings;
use super::opening::Opening;
use super::pass::Pass;
use super::plan::Plan;
use super::scan::scan;
use super::wrapping::{Locked, Wrapping, WrappingPass};
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::shown::{do_not, rows};
use crate::store::{Function, Rows, unexpected_outcome};

/// After this many passes, rows on another key are no leftovers: a writer still seals with that key.
const MAX_PASSES: u32 = 8;

/// Repeats passes over the data keys and the rows until one finds nothing to do.
pub async fn rewrap(plan: Plan<'_>) -> Result<()> {
    let Plan { session, ring, .. } = plan;
    let rewrap = Rewrap::new(plan);
    let outcome = rewrap.passes().await;
    // What was written is recorded even if the rotation failed or was stopped. Then its own error is the one to report.
    let recorded = record(session).await;
    session.progress.recorded();
    let total = outcome?;
    recorded?;
    total.findings.report(&session.progress)?;
    total.locked.report(&session.progress)?;
    if total.is_done {
        let replaced = rewrap.wrapping().delete_replaced().await?;
        return finish(session, ring.primary_kid(), &total, replaced);
    }
    let message = format!("rows on other keys keep coming after {MAX_PASSES} passes");
    Err(Error::new(ErrorKind::Database, message).hint(format!(
        "something still seals with another key than {}, or is a worker of an earlier version: switch every deployment first",
        ring.primary_kid()
    )))
}

/// Opens and seals everything, but writes nothing.
pub async fn dry_run(plan: Plan<'_>) -> Result<()> {
    let session = plan.session;
    let rewrap = Rewrap::new(plan);
    let wrapped = rewrap.wrapping().rewrap().await?;
    let pass = rewrap.pass().await?;
    let (written, data_keys) = (pass.written.get(), wrapped.written);
    let findings = pass.findings.into_inner();
    findings.report(&session.progress)?;
    wrapped.locked.report(&session.progress)?;
    let kid = plan.ring.primary_kid();
    session.progress.step(
        &json!({
            "event": "dry_run", "kid": kid.to_string(), "would_write": written, "would_rewrap_data_keys": data_keys,
            "does_not_open": findings.count() + wrapped.locked.count(),
        }),
        &format!(
            "would rewrap {} with key {kid} and reseal {}; {} not open",
            keys(data_keys),
            rows(written),
            do_not(findings.count() + wrapped.locked.count())
        ),
    )?;
    findings.ensure_none()?;
    wrapped.locked.ensure_none()
}

/// Writes the events of what was resealed, also of an earlier run that was killed. It also makes the writes before it durable: until then,
/// a crash of the server may undo them.
async fn record(session: &Session) -> Result<()> {
    let mut part = 0;
    loop {
        match session.call(Function::RecordRotation { part }).await? {
            Value::Null => return Ok(()),
            // The parts rise, so this ends.
            next => match next.as_u64().and_then(|next| u8::try_from(next).ok()) {
                Some(next) if next > part => part = next,
                _ => return Err(unexpected_outcome("parts that do not rise")),
            },
        }
    }
}

fn finish(
    session: &Session,
    kid: Kid,
    total: &Total,
    (deleted, replaced_left): (u64, u64),
) -> Result<()> {
    let Total {
        data_keys,
        new_data_keys,
        written,
        lost,
        passes,
        findings,
        locked,
        ..
    } = total;
    let elapsed = session.progress.elapsed();
    let does_not_open = findings.count() + locked.count();
    session.progress.step(
        &json!({
            "event": "rewrapped", "kid": kid.to_string(), "data_keys": data_keys, "new_data_keys": new_data_keys, "written": written,
            "lost_races": lost, "passes": passes, "does_not_open": does_not_open, "replaced_data_keys_deleted": deleted,
            "replaced_data_keys_left": replaced_left, "elapsed_ms": elapsed.as_millis() as u64,
        }),
        &format!(
            "rewrapped {} with key {kid} and resealed {} in {:.1} s, {lost} rewritten by others meanwhile and read again; {} not open",
            keys(*data_keys),
            rows(*written),
            elapsed.as_secs_f64(),
            do_not(does_not_open),
        ),
    )?;
    if *new_data_keys + deleted + replaced_left > 0 && !session.progress.is_json() {
        session.progress.say(&format!(
            "replaced {}; of the replaced ones {deleted} were deleted, {replaced_left} are kept until nothing uses them: the worker's \
             schedule deletes those, 15 minutes after they were replaced at the earliest",
            keys(*new_data_keys)
        ))?;
    }
    findings.ensure_none()?;
    locked.ensure_none()
}

/// "1 data key", "2 data keys".
fn keys(count: u64) -> String {
    match count {
        1 => "1 data key".to_owned(),
        _ => format!("{count} data keys"),
    }
}

/// What a rotation shares between its passes.
struct Rewrap<'a> {
    plan: Plan<'a>,
    opening: Opening,
    /// The keys that `record_keys` knows already.
    recorded: RefCell<BTreeSet<Kid>>,
}

/// Of all passes together; `findings` and `locked` are those of the last one.
struct Total {
    passes: u32,
    /// The number of data keys that were rewrapped.
    data_keys: u64,
    /// The number of data keys that were replaced.
    new_data_keys: u64,
    written: u64,
    lost: u64,
    findings: Findings,
    locked: Locked,
    /// The last pass found nothing to do.
    is_done: bool,
}

impl<'a> Rewrap<'a> {
    fn new(plan: Plan<'a>) -> Self {
        Self {
            plan,
            opening: Opening::new("rotate", Some(plan.ring.primary_kid())),
            recorded: RefCell::default(),
        }
    }

    fn wrapping(&self) -> Wrapping<'a> {
        let Plan {
            session,
            ring,
            scope,
            throttle,
            ..
        } = self.plan;
        Wrapping {
            session,
            ring,
            scope,
            throttle,
            dry_run: self.plan.dry_run,
        }
    }

    fn findings(&self) -> Findings {
        Findings::new(self.plan.list, &self.plan.session.progress).allowing_missing_data_keys()
    }

    async fn passes(&self) -> Result<Total> {
        let mut total = Total {
            passes: 0,
            data_keys: 0,
            new_data_keys: 0,
            written: 0,
            lost: 0,
            findings: self.findings(),
            locked: Locked::default(),
            is_done: false,
        };
        while !total.is_done && total.passes < MAX_PASSES {
            let wrapped = self.wrapping().rewrap().await?;
            let replaced = if self.plan.new_data_keys {
                self.wrapping().replace().await?
            } else {
                WrappingPass::default()
            };
            let pass = self.pass().await?;
            let (written, lost) = (pass.written.get(), pass.lost.get());
            let lost = lost + wrapped.lost + replaced.lost;
            total = Total {
                passes: total.passes + 1,
                data_keys: total.data_keys + wrapped.written,
                new_data_keys: total.new_data_keys + replaced.written,
                written: total.written + written,
                lost: total.lost + lost,
                findings: pass.findings.into_inner(),
                locked: wrapped.locked,
                is_done: wrapped.written + replaced.written + written + lost == 0,
            };
        }
        Ok(total)
    }

    async fn pass(&self) -> Result<Pass<'_>> {
        let pass = Pass::new(self.plan, &self.recorded, self.findings());
        let each = async |connection: &dyn Rows, rows| pass.page(connection, rows).await;
        let Plan {
            session,
            scope,
            throttle,
            ..
        } = self.plan;
        let opening = Some(&self.opening);
        scan(session, "rewrap", opening, scope, Some(throttle), each).await?;
        Ok(pass)
    }
}
