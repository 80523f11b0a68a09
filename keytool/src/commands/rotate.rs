use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use sealed::Kid;

use crate::confirm::ConfirmArgs;
use crate::error::Result;
use crate::keys::KeyArgs;
use crate::progress::Progress;
use crate::rotation::findings::ListArgs;
use crate::rotation::plan::Plan;
use crate::rotation::rewrap::{dry_run, rewrap};
use crate::rotation::scope::Scope;
use crate::rotation::throttle::Throttle;
use crate::rotation::{fence, retire, sample};
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct RotateArgs {
    #[command(flatten)]
    session: SessionArgs,

    #[command(flatten)]
    scope: Scope,

    #[command(flatten)]
    list: ListArgs,

    #[command(flatten)]
    confirm: ConfirmArgs,

    /// Open and seal every row, but write nothing
    #[arg(long, conflicts_with = "complete")]
    dry_run: bool,

    /// Write at most this many rows a second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    max_rate: Option<u32>,

    /// Pause while a replica lags by more than this
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    max_lag: u16,

    /// Continue even if a sample of rows indicates a missing or wrong key
    #[arg(long)]
    force: bool,

    /// Also replace each data key that another key has wrapped before, and reseal what it sealed; for a key that has leaked
    #[arg(long, conflicts_with_all = ["dry_run", "shard"])]
    new_data_keys: bool,

    /// Then fence, verify and retire; stop at the first problem
    #[arg(long, conflicts_with_all = ["only_organization", "shard"])]
    complete: bool,
}

pub async fn run(args: &RotateArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    let ring = keys.ring()?;
    if args.complete && ring.kids().len() == 1 {
        return Err(retire::no_key());
    }
    if args.complete {
        args.confirm.ensure_answer(progress.is_json())?;
    }
    let (session, registry) = Session::open(&args.session, Some(&ring), progress).await?;
    registry.ensure_usable(&ring)?;
    args.scope.ensure_known(session.connection()).await?;
    if !args.force {
        sample::check(session.connection(), &ring, &args.scope.start()).await?;
    }
    let throttle = Throttle::new(args.max_rate, Duration::from_secs(args.max_lag.into()));
    let plan = Plan {
        session: &session,
        ring: &ring,
        scope: &args.scope,
        throttle: &throttle,
        list: args.list,
        new_data_keys: args.new_data_keys,
        dry_run: args.dry_run,
    };
    if args.dry_run {
        return dry_run(plan).await;
    }
    rewrap(plan).await?;
    if args.complete {
        fence::raise(&session, &ring, &throttle).await?;
        // `retire` verifies every row with the primary key alone before it retires a key.
        let alone = keys.ring_without_fallbacks()?;
        let old: Vec<Kid> = ring.kids().skip(1).collect();
        let used = retire::used(&session, &old).await?;
        retire::retire(&session, &alone, &ring, &used, args.confirm).await?;
    }
    Ok(())
}
