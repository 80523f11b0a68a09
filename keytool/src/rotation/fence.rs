//! The fence: while it is up, the database rejects writes that are not sealed with the primary key.

use std::time::Duration;

use kms::WrappingKeys;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::findings::{Findings, ListArgs};
use super::opening::Opening;
use super::plan::Plan;
use super::rewrap::rewrap;
use super::scope::Scope;
use super::throttle::Throttle;
use super::verify;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::shown::rows;
use crate::store::{Function, unexpected_outcome};

/// The number of attempts while long transactions hold the table. Each attempt waits two seconds for the lock.
const ATTEMPTS: u32 = 15;

/// Raises the fence if every row opens and is sealed with the primary key.
pub async fn raise_if_done(session: &Session, ring: &WrappingKeys) -> Result<()> {
    let findings =
        Findings::new(ListArgs::default(), &session.progress).allowing_missing_data_keys();
    let (counts, findings) = verify::count(
        session,
        "check",
        ring,
        &Scope::default(),
        &Opening::new("verify", None),
        findings,
    )
    .await?;
    findings.ensure_none()?;
    let kid = ring.primary_kid();
    match counts.not_on(kid) {
        0 => raise(session, ring, &Throttle::none()).await,
        count => Err(Error::new(
            ErrorKind::Database,
            format!(
                "{} {} not sealed with key {kid}: no fence",
                rows(count),
                if count == 1 { "is" } else { "are" }
            ),
        )
        .hint("run `keytool rotate` first")),
    }
}

/// Raises the fence for the primary key, and rewraps the rows that were written with another key before it was up.
pub async fn raise(session: &Session, ring: &WrappingKeys, throttle: &Throttle) -> Result<()> {
    let kids = [ring.primary_kid().to_string()];
    let answer = retry_while_busy(session, Function::DeclareFence { kids: &kids }).await?;
    match outcome(&answer) {
        "fenced" => {}
        "retired" => {
            let message = format!("the primary key {} is retired", kids[0]);
            return Err(Error::new(ErrorKind::Caller, message));
        }
        other => return Err(unexpected_outcome(other)),
    }
    let declared_at = answer["declared_at"].as_str().unwrap_or_default();
    session.progress.step(
        &json!({"event": "fenced", "kid": kids[0], "fence": answer["fence"], "declared_at": declared_at}),
        &format!("the fence is going up: only key {} may write from {declared_at} on", kids[0]),
    )?;
    rewrap(Plan {
        session,
        ring,
        scope: &Scope::default(),
        throttle,
        list: ListArgs::default(),
        new_data_keys: false,
        dry_run: false,
    })
    .await?;
    if session.progress.is_json() {
        return Ok(());
    }
    session.progress.say(&format!(
        "the fence is up, and key {} opens every row, alone or with the data keys that it wraps: no other key may write",
        kids[0]
    ))
}

pub async fn lift(session: &Session) -> Result<()> {
    let answer = retry_while_busy(session, Function::LiftFence).await?;
    let sentence = match outcome(&answer) {
        "lifted" => "the fence is down: every key may write",
        "not_fenced" => "there was no fence",
        other => return Err(unexpected_outcome(other)),
    };
    session
        .progress
        .step(&json!({"event": outcome(&answer)}), sentence)
}

/// Both lock the table against writers. They give up after two seconds, so that writers do not queue behind them.
async fn retry_while_busy(session: &Session, function: Function<'_>) -> Result<Value> {
    for _ in 0..ATTEMPTS {
        let answer = session.call(function).await?;
        if outcome(&answer) != "busy" {
            return Ok(answer);
        }
        sleep(Duration::from_secs(1)).await;
    }
    Err(Error::new(
        ErrorKind::Database,
        "could not lock integrations: another transaction holds it",
    )
    .hint("find it in pg_stat_activity, and run this again when it has ended"))
}

fn outcome(answer: &Value) -> &str {
    answer["outcome"].as_str().unwrap_or_default()
}
