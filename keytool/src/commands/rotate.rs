use std::time::Duration;

use clap::Args;
use sealed::KeyRing;
use serde_json::json;

use super::{fence, retire};
use crate::error::{Blame, Error, Result};
use crate::keys::KeyArgs;
use crate::rotation::pace::Pace;
use crate::rotation::rewrap::{Counts, Moved, Rewrap};
use crate::rotation::sample;
use crate::rotation::scope::Scope;
use crate::session::{Rotation, Session, SessionArgs};

/// Passes after which rows on another key are no leftovers any more: somebody goes on writing them.
const MAX_PASSES: u32 = 8;

#[derive(Args, Debug)]
pub struct RotateArgs {
    #[command(flatten)]
    session: SessionArgs,

    #[command(flatten)]
    scope: Scope,

    /// Open and seal everything, but write nothing
    #[arg(long, conflicts_with = "all_the_way")]
    dry_run: bool,

    /// Write at most so many rows a second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    max_rate: Option<u32>,

    /// Wait while a replica is further behind than this
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    max_lag: u16,

    /// Go on though a sample of the rows says that a key is missing or wrong
    #[arg(long)]
    anyway: bool,

    /// Go on through fence, verify and retire, and stop at the first thing that is not right
    #[arg(long, conflicts_with_all = ["only_organization", "shard"])]
    all_the_way: bool,
}

pub async fn run(args: &RotateArgs, keys: &KeyArgs, json: bool) -> Result<()> {
    let ring = keys.ring()?;
    if args.all_the_way && ring.kids().len() == 1 {
        return Err(retire::no_key());
    }
    let (session, registry) = Session::open(&args.session, json).await?;
    registry.demand_usable(ring.primary_kid())?;
    if !args.anyway {
        sample::check(session.connection(), &ring, &args.scope.start()).await?;
    }
    let lag = Duration::from_secs(args.max_lag.into());
    let pace = Pace::new(args.max_rate, lag);
    if args.dry_run {
        return dry_run(&session, &ring, &args.scope, &pace).await;
    }
    rewrap(&session, &ring, &args.scope, &pace).await?;
    if args.all_the_way {
        fence::raise(&session, &ring, Some(&pace)).await?;
        // Verifies, with the primary key alone, before it retires anything.
        let alone = keys.ring_without_fallbacks()?;
        let old: Vec<String> = ring.kids().skip(1).map(|kid| kid.to_string()).collect();
        retire::retire(&session, &alone, &old).await?;
    }
    Ok(())
}

/// Passes over the rows until one finds nothing more to do.
pub async fn rewrap(session: &Session, ring: &KeyRing, scope: &Scope, pace: &Pace) -> Result<()> {
    let (mut written, mut lost) = (0, 0);
    let moved = Moved::default();
    let kid = ring.primary_kid();
    for number in 1..=MAX_PASSES {
        let counts = one_pass(session, ring, scope, pace, &moved, number == 1, false).await?;
        written += counts.written.get();
        lost += counts.lost.get();
        if counts.written.get() == 0 && counts.lost.get() == 0 {
            moved.record(session.connection(), kid).await?;
            return finish(session, ring, number, written, lost, &counts);
        }
    }
    moved.record(session.connection(), kid).await?;
    let message = format!("rows on other keys keep coming after {MAX_PASSES} passes");
    Err(Error::new(Blame::Database, message).hint(format!(
        "something still seals with another key than {kid}: switch every deployment first"
    )))
}

async fn dry_run(session: &Session, ring: &KeyRing, scope: &Scope, pace: &Pace) -> Result<()> {
    let counts = one_pass(session, ring, scope, pace, &Moved::default(), true, true).await?;
    let (rows, findings) = (counts.written.get(), counts.do_not_open());
    let kid = ring.primary_kid();
    session.progress.step(
        &json!({"event": "dry_run", "kid": kid.to_string(), "would_write": rows, "does_not_open": findings}),
        &format!("would move {rows} rows to key {kid}; {findings} do not open"),
    )?;
    demand_none(findings)
}

async fn one_pass<'a>(
    session: &'a Session,
    ring: &'a KeyRing,
    scope: &Scope,
    pace: &'a Pace,
    moved: &Moved,
    lists: bool,
    dry_run: bool,
) -> Result<Counts> {
    let rewrap = Rewrap {
        ring,
        pace,
        progress: &session.progress,
        dry_run,
        lists,
        moved,
        counts: Counts::default(),
    };
    let each =
        async |connection: &dyn crate::database::Rows, rows| rewrap.page(connection, rows).await;
    let rotation = Rotation {
        kid: ring.primary_kid(),
        pace,
    };
    session
        .scan("rewrap", Some("rotate"), scope, Some(rotation), each)
        .await?;
    Ok(rewrap.counts)
}

fn finish(
    session: &Session,
    ring: &KeyRing,
    passes: u32,
    written: u64,
    lost: u64,
    last: &Counts,
) -> Result<()> {
    let (kid, findings) = (ring.primary_kid(), last.do_not_open());
    let elapsed = session.progress.elapsed();
    session.progress.step(
        &json!({
            "event": "rewrapped", "kid": kid.to_string(), "written": written, "lost_races": lost, "passes": passes,
            "does_not_open": findings, "elapsed_ms": elapsed.as_millis() as u64,
        }),
        &format!(
            "moved {written} rows to key {kid} in {:.1} s, {lost} races lost and read again; {findings} do not open",
            elapsed.as_secs_f64()
        ),
    )?;
    demand_none(findings)
}

/// Rows that do not open end a rotation, after everything else was done.
fn demand_none(findings: u64) -> Result<()> {
    match findings {
        0 => Ok(()),
        _ => Err(does_not_open(findings)),
    }
}

pub fn does_not_open(findings: u64) -> Error {
    Error::new(Blame::Row, format!("{findings} rows do not open")).hint(
        "each is listed with its class, which docs/format.md explains; mend or delete them, then run this again",
    )
}
