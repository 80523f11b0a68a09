use clap::Args;
use sealed::{KeyRing, Kid};
use serde_json::{Value, json};

use super::fence::{outcome, unexpected};
use super::verify::demand_all;
use crate::database::Function;
use crate::error::{Blame, Error, Result};
use crate::keys::KeyArgs;
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct RetireArgs {
    /// Ids of the keys to retire; without, all fallback keys
    #[arg(value_name = "KID")]
    kids: Vec<Kid>,

    #[command(flatten)]
    session: SessionArgs,
}

pub async fn run(args: &RetireArgs, keys: &KeyArgs, json: bool) -> Result<()> {
    let ring = keys.ring()?;
    let kids: Vec<String> = if args.kids.is_empty() {
        ring.kids().skip(1).map(|kid| kid.to_string()).collect()
    } else {
        args.kids.iter().map(Kid::to_string).collect()
    };
    if kids.is_empty() {
        return Err(no_key());
    }
    let (session, _) = Session::open(&args.session, json).await?;
    retire(&session, &keys.ring_without_fallbacks()?, &kids).await
}

/// Retires keys, if under the fence that is up now every row is sealed with the primary key and opens with it.
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
    demand_all(session, alone).await?;
    for kid in kids {
        let answer = session
            .call(Function::RetireKey {
                kid,
                fence: fence.id,
            })
            .await?;
        match outcome(&answer) {
            "retired" => session.progress.step(
                &json!({"event": "retired", "kid": kid, "fence": fence.id.to_string()}),
                &format!("key {kid} is retired: it opens nothing any more, take it out of FALLBACK_ENCRYPTION_KEYS"),
            )?,
            "not_fenced" => return Err(not_fenced("the fence was changed meanwhile")),
            "allowed" => {
                let message = format!("key {kid} is the one that may write");
                return Err(Error::new(Blame::Caller, message));
            }
            "needed" => return Err(needed(kid, &answer["credentials"])),
            other => return Err(unexpected(other)),
        }
    }
    Ok(())
}

fn needed(kid: &str, credentials: &Value) -> Error {
    let message = format!(
        "key {kid} is still needed for {credentials} credentials on their way: no key is retired"
    );
    Error::new(Blame::Database, message)
        .hint("refreshes that wait to be written, or users who choose an account: run this again in ten minutes")
}

pub fn no_key() -> Error {
    Error::new(Blame::Caller, "no key to retire")
        .hint("set FALLBACK_ENCRYPTION_KEYS to the old key, or give its id to `keytool retire`")
}

fn not_fenced(why: &str) -> Error {
    Error::new(Blame::Database, format!("{why}: no key is retired"))
        .hint("run `keytool fence`, then this again")
}
