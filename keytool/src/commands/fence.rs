use std::time::Duration;

use clap::Args;
use sealed::KeyRing;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::rotate::{does_not_open, rewrap};
use super::verify::look;
use crate::database::{Failure, Function};
use crate::error::{Blame, Error, Result};
use crate::keys::KeyArgs;
use crate::rotation::pace::Pace;
use crate::rotation::scope::Scope;
use crate::session::{Session, SessionArgs};

/// How often the fence is tried when long transactions of others are in the way; each attempt waits two seconds.
const ATTEMPTS: u32 = 15;

#[derive(Args, Debug)]
pub struct FenceArgs {
    #[command(flatten)]
    session: SessionArgs,

    /// Take the fence down: every key may write again
    #[arg(long)]
    lift: bool,
}

pub async fn run(args: &FenceArgs, keys: &KeyArgs, json: bool) -> Result<()> {
    if args.lift {
        let (session, _) = Session::open(&args.session, json).await?;
        return lift(&session).await;
    }
    let ring = keys.ring()?;
    let (session, registry) = Session::open(&args.session, json).await?;
    if registry.is_retired(ring.primary_kid()) {
        registry.demand_usable(ring.primary_kid())?;
    }
    let tally = look(&session, "check", &ring, &Scope::default()).await?;
    if tally.do_not_open() > 0 {
        return Err(does_not_open(tally.do_not_open()));
    }
    let kid = ring.primary_kid();
    match tally.not_on(kid) {
        0 => raise(&session, &ring, None).await,
        rows => Err(Error::new(
            Blame::Database,
            format!("{rows} rows are not sealed with key {kid}: no fence"),
        )
        .hint("run `keytool rotate` first")),
    }
}

/// Puts the fence up for the primary key, and moves what was written with another one until then.
pub async fn raise(session: &Session, ring: &KeyRing, pace: Option<&Pace>) -> Result<()> {
    let kids = [ring.primary_kid().to_string()];
    let answer = insist(session, Function::DeclareFence { kids: &kids }).await?;
    match outcome(&answer) {
        "fenced" => {}
        "retired" => {
            let message = format!("the primary key {} is retired", kids[0]);
            return Err(Error::new(Blame::Caller, message));
        }
        other => return Err(unexpected(other)),
    }
    let declared_at = answer["declared_at"].as_str().unwrap_or_default();
    session.progress.step(
        &json!({"event": "fenced", "kid": kids[0], "fence": answer["fence"], "declared_at": declared_at}),
        &format!("the fence is up since {declared_at}: only key {} may write", kids[0]),
    )?;
    let unhurried = Pace::new(None, Duration::MAX);
    rewrap(session, ring, &Scope::default(), pace.unwrap_or(&unhurried)).await
}

async fn lift(session: &Session) -> Result<()> {
    let answer = insist(session, Function::LiftFence).await?;
    let sentence = match outcome(&answer) {
        "lifted" => "the fence is down: every key may write",
        "not_fenced" => "there was no fence",
        other => return Err(unexpected(other)),
    };
    session
        .progress
        .step(&json!({"event": outcome(&answer)}), sentence)
}

/// Both need a moment without a writing transaction, and give up after two seconds so that writers do not queue behind them.
async fn insist(session: &Session, function: Function<'_>) -> Result<Value> {
    for _ in 0..ATTEMPTS {
        let answer: Result<Value, Failure> = session.call(function).await;
        let answer = answer?;
        if outcome(&answer) != "busy" {
            return Ok(answer);
        }
        sleep(Duration::from_secs(1)).await;
    }
    Err(Error::new(
        Blame::Database,
        "a long transaction writes to integrations all the time",
    )
    .hint("look for it in pg_stat_activity, and run this again when it is over"))
}

pub fn outcome(answer: &Value) -> &str {
    answer["outcome"].as_str().unwrap_or_default()
}

pub fn unexpected(outcome: &str) -> Error {
    Error::new(
        Blame::Database,
        format!("the database answers \"{outcome}\", which this program does not know"),
    )
    .hint("is keytool older than the migrations?")
}
