use clap::Args;
use sealed::KeyRing;
use serde_json::json;

use super::rotate::does_not_open;
use crate::error::{Blame, Error, Result};
use crate::keys::KeyArgs;
use crate::rotation::inspect::{Inspect, Tally};
use crate::rotation::scope::Scope;
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    session: SessionArgs,

    #[command(flatten)]
    scope: Scope,

    /// Use the primary key alone, as the worker will when the fallbacks are gone
    #[arg(long)]
    primary_only: bool,
}

pub async fn run(args: &VerifyArgs, keys: &KeyArgs, json: bool) -> Result<()> {
    let ring = if args.primary_only {
        keys.ring_without_fallbacks()?
    } else {
        keys.ring()?
    };
    let (session, _) = Session::open(&args.session, json).await?;
    all_open(&session, &ring, &args.scope).await?;
    Ok(())
}

/// Every row opens with the ring's one key and is sealed with it: no other key is needed for anything.
pub async fn demand_all(session: &Session, alone: &KeyRing) -> Result<()> {
    let kid = alone.primary_kid();
    let tally = all_open(session, alone, &Scope::default()).await?;
    match tally.not_on(kid) {
        0 => Ok(()),
        rows => Err(Error::new(
            Blame::Database,
            format!("{rows} rows are not sealed with key {kid}"),
        )
        .hint("run `keytool rotate` again")),
    }
}

async fn all_open(session: &Session, ring: &KeyRing, scope: &Scope) -> Result<Tally> {
    let tally = look(session, "verify", ring, scope).await?;
    let kids: Vec<String> = ring.kids().map(|kid| kid.to_string()).collect();
    let findings = tally.do_not_open();
    session.progress.step(
        &json!({"event": "verified", "kids": kids, "tally": tally.to_json()}),
        &format!(
            "{} of {} rows open with {}, {} of them hold nothing sealed",
            tally.rows - findings,
            tally.rows,
            kids.join(", "),
            tally.empty
        ),
    )?;
    if findings == 0 {
        Ok(tally)
    } else {
        Err(does_not_open(findings))
    }
}

/// Opens every row and counts; those that do not open are listed.
pub async fn look(
    session: &Session,
    phase: &'static str,
    ring: &KeyRing,
    scope: &Scope,
) -> Result<Tally> {
    let inspect = Inspect::new(Some(ring), &session.progress);
    session
        .scan(phase, Some("verify"), scope, None, async |_, rows| {
            inspect.page(rows)
        })
        .await?;
    Ok(inspect.seen().all)
}
