//! The end of a rotation: verifies that a key is no longer needed, and records it as retired.

use kms::WrappingKeys;
use sealed::Kid;
use serde_json::json;

use super::verify::ensure_no_other_key;
use crate::confirm::ConfirmArgs;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::shown::rows;
use crate::store::elsewhere::Elsewhere;
use crate::store::{Function, unexpected_outcome};

/// Retires keys, if under the fence that is up now every row is sealed with the primary key and opens with it. `all` are the keys that
/// are here, `alone` is the primary one.
pub async fn retire(
    session: &Session,
    alone: &WrappingKeys,
    all: &WrappingKeys,
    kids: &[Kid],
    confirm: ConfirmArgs,
) -> Result<()> {
    let registry = session.registry().await?;
    registry.ensure_not_swapped(all)?;
    let primary = alone.primary_kid();
    if kids.contains(&primary) {
        let message = format!("key {primary} is the primary key: no key is retired");
        return Err(Error::new(ErrorKind::Caller, message)
            .hint("give the ids of keys that the worker no longer seals with"));
    }
    let Some(fence) = &registry.fence else {
        return Err(not_fenced("there is no fence"));
    };
    if !registry.allowed().eq([primary.to_string().as_str()]) {
        let allowed: Vec<&str> = registry.allowed().collect();
        return Err(not_fenced(&format!(
            "the fence is up for {}, not for {primary} alone",
            allowed.join(", ")
        )));
    }
    let counts = ensure_no_other_key(session, alone, all).await?;
    let registry = session.registry().await?;
    if let Some(kid) = kids.iter().find(|kid| !registry.knows(&kid.to_string())) {
        return Err(unknown(*kid));
    }
    if kids.iter().all(|kid| registry.is_retired(*kid)) {
        return kids
            .iter()
            .try_for_each(|kid| done(session, *kid, &fence.id.to_string()));
    }
    let names: Vec<String> = kids.iter().map(Kid::to_string).collect();
    let names = names.join(", ");
    confirm
        .ask(format!(
            "database: {}\n{} open with key {primary} alone, and nothing else is sealed with {names}.\n\
             From then on keytool refuses it as a primary key. Retire {names}?",
            session.database,
            rows(counts.rows),
        ))
        .await?;
    for kid in kids {
        let answer = session
            .call(Function::RetireKey {
                kid: *kid,
                fence: fence.id,
            })
            .await?;
        match answer["outcome"].as_str().unwrap_or_default() {
            "retired" => done(session, *kid, &fence.id.to_string())?,
            "not_fenced" => return Err(not_fenced("the fence was changed meanwhile")),
            "allowed" => {
                let message = format!("key {kid} is the one that may write: no key is retired");
                return Err(Error::new(ErrorKind::Caller, message));
            }
            "unknown" => return Err(unknown(*kid)),
            "needed" => return Err(Elsewhere::needed(*kid, &answer["tables"])),
            other => return Err(unexpected_outcome(other)),
        }
    }
    Ok(())
}

/// Returns the keys that something was ever sealed with. The others have nothing to retire, which it reports.
pub async fn used(session: &Session, kids: &[Kid]) -> Result<Vec<Kid>> {
    let registry = session.registry().await?;
    let (used, unused): (Vec<Kid>, Vec<Kid>) = kids
        .iter()
        .partition(|kid| registry.knows(&kid.to_string()));
    for kid in unused {
        session.progress.step(
            &json!({"event": "not_retired", "kid": kid.to_string()}),
            &format!("key {kid} is not retired: nothing was ever sealed with it here"),
        )?;
    }
    Ok(used)
}

pub async fn unretire(session: &Session, kid: Kid, confirm: ConfirmArgs) -> Result<()> {
    if !session.registry().await?.is_retired(kid) {
        return Err(not_retired(kid));
    }
    confirm
        .ask(format!(
            "database: {}\nA key that has leaked must stay retired. Allow {kid} as a primary key again?",
            session.database
        ))
        .await?;
    let answer = session.call(Function::UnretireKey { kid }).await?;
    match answer["outcome"].as_str().unwrap_or_default() {
        "unretired" => session.progress.step(
            &json!({"event": "unretired", "kid": kid.to_string()}),
            &format!("key {kid} is no longer retired: it may be a primary key again"),
        ),
        "not_retired" => Err(not_retired(kid)),
        other => Err(unexpected_outcome(other)),
    }
}

fn done(session: &Session, kid: Kid, fence: &str) -> Result<()> {
    session.progress.step(
        &json!({"event": "retired", "kid": kid.to_string(), "fence": fence}),
        &format!("key {kid} is retired: no row needs it. Take it out of FALLBACK_ENCRYPTION_KEYS"),
    )
}

fn unknown(kid: Kid) -> Error {
    let message = format!("nothing was ever sealed with key {kid} here: no key is retired");
    Error::new(ErrorKind::Caller, message).hint(
        "is it a typing error, the next key, or another database? `keytool registry` lists the keys; an old key that sealed nothing needs no retiring",
    )
}

fn not_retired(kid: Kid) -> Error {
    Error::new(ErrorKind::Caller, format!("key {kid} is not retired"))
        .hint("`keytool registry` lists the keys; is it the right database?")
}

fn not_fenced(why: &str) -> Error {
    Error::new(ErrorKind::Database, format!("{why}: no key is retired"))
        .hint("run `keytool fence`, then this again")
}

pub fn no_key() -> Error {
    Error::new(ErrorKind::Caller, "no key to retire")
        .hint("set FALLBACK_ENCRYPTION_KEYS to the old key, or give its id to `keytool retire`")
}
