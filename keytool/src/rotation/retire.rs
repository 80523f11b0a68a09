//! The end of a rotation: verifies that a key is no longer needed, and records it as retired.

use sealed::KeyRing;
use serde_json::{Value, json};

use super::verify::ensure_no_other_key;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::store::{Function, unexpected_outcome};

/// Retires keys, if every row is sealed with the primary key and opens with it, under the fence that is up now.
pub async fn retire(session: &Session, alone: &KeyRing, kids: &[String]) -> Result<()> {
    let registry = session.registry().await?;
    let primary = alone.primary_kid().to_string();
    let Some(fence) = &registry.fence else {
        return Err(not_fenced("there is no fence"));
    };
    if !registry.allowed().eq([primary.as_str()]) {
        let allowed: Vec<&str> = registry.allowed().collect();
        return Err(not_fenced(&format!(
            "the fence is up for {}, not for {primary} alone",
            allowed.join(", ")
        )));
    }
    ensure_no_other_key(session, alone).await?;
    for kid in kids {
        let answer = session
            .call(Function::RetireKey {
                kid,
                fence: fence.id,
            })
            .await?;
        match answer["outcome"].as_str().unwrap_or_default() {
            "retired" => session.progress.step(
                &json!({"event": "retired", "kid": kid, "fence": fence.id.to_string()}),
                &format!("key {kid} is retired: it opens nothing any more, take it out of FALLBACK_ENCRYPTION_KEYS"),
            )?,
            "not_fenced" => return Err(not_fenced("the fence was changed meanwhile")),
            "allowed" => {
                let message = format!("key {kid} is the one that may write");
                return Err(Error::new(ErrorKind::Caller, message));
            }
            "needed" => return Err(needed(kid, &answer["credentials"])),
            other => return Err(unexpected_outcome(other)),
        }
    }
    Ok(())
}

fn needed(kid: &str, credentials: &Value) -> Error {
    let message = format!(
        "key {kid} is still needed for {credentials} credentials on their way: no key is retired"
    );
    Error::new(ErrorKind::Database, message)
        .hint("refreshes that wait to be written, or users who choose an account: run this again in ten minutes")
}

fn not_fenced(why: &str) -> Error {
    Error::new(ErrorKind::Database, format!("{why}: no key is retired"))
        .hint("run `keytool fence`, then this again")
}

pub fn no_key() -> Error {
    Error::new(ErrorKind::Caller, "no key to retire")
        .hint("set FALLBACK_ENCRYPTION_KEYS to the old key, or give its id to `keytool retire`")
}
