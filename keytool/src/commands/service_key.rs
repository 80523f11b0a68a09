use std::path::PathBuf;
use std::rc::Rc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::{Args, Subcommand, ValueEnum};
use sealed::Secret;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::generate::write_new;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::session::{Session, SessionArgs};
use crate::settings::uuid;
use crate::store::{Function, NewServiceKey, unexpected_outcome};
use crate::{output, random};

#[derive(Args, Debug)]
pub struct ServiceKeyArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a service key and print it; nobody can read it again
    Create(CreateArgs),
    /// List the service keys, newest first
    List(ListArgs),
    /// Revoke a service key at once
    Revoke(RevokeArgs),
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// What people call the key; events show it
    #[arg(long, value_name = "NAME")]
    name: String,

    /// What the key may do; may be repeated
    #[arg(long, value_name = "SCOPE", required = true)]
    scope: Vec<Scope>,

    /// The organization that the key acts for [default: all organizations]
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    organization: Option<Uuid>,

    /// Number of days until the key expires [default: it does not expire]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: Option<u16>,

    /// Write the key to this new file, readable by its owner only, and nothing to stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Only the keys of this organization
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    organization: Option<Uuid>,

    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Args, Debug)]
struct RevokeArgs {
    /// Id of the service key
    #[arg(value_name = "ID", value_parser = uuid)]
    id: Uuid,

    #[command(flatten)]
    session: SessionArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    #[value(name = "connections:read")]
    ConnectionsRead,
    #[value(name = "connections:credentials")]
    ConnectionsCredentials,
    #[value(name = "connections:write")]
    ConnectionsWrite,
    #[value(name = "connections:import")]
    ConnectionsImport,
    #[value(name = "connect_sessions:write")]
    ConnectSessionsWrite,
    #[value(name = "webhooks:manage")]
    WebhooksManage,
    #[value(name = "findings:read")]
    FindingsRead,
}

impl Scope {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

pub async fn run(args: &ServiceKeyArgs, progress: Rc<Progress>) -> Result<()> {
    match &args.command {
        Command::Create(args) => create(args, progress).await,
        Command::List(args) => list(args, progress).await,
        Command::Revoke(args) => revoke(args, progress).await,
    }
}

async fn create(args: &CreateArgs, progress: Rc<Progress>) -> Result<()> {
    let (session, _) = Session::open(&args.session, None, progress).await?;
    let mut bytes = Zeroizing::new([0; 32]);
    random::fill(&mut *bytes)?;
    // As worker/src/auth/service_key.rs reads it: the hash is that of the part after sik_.
    let random = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes));
    let key = Secret::from(format!("sik_{}", *random));
    let prefix: String = key.expose().chars().take(8).collect();
    let hash: String = Sha256::digest(random.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let scopes: Vec<String> = args.scope.iter().map(|scope| scope.name()).collect();
    let new = NewServiceKey {
        organization: args.organization,
        name: &args.name,
        prefix: &prefix,
        hash: &hash,
        scopes: &scopes,
        days: args.days,
    };
    if let Some(path) = &args.out {
        write_new(path, key.expose())?;
    }
    let id = match store(&session, new).await {
        Ok(id) => id,
        Err(error) => {
            // The file is ours: it was not there before. A key that the database does not know is of no use.
            if let Some(path) = &args.out {
                let _ = std::fs::remove_file(path);
            }
            return Err(error);
        }
    };
    match (session.progress.is_json(), &args.out) {
        (true, None) => {
            output::json(&json!({"event": "service_key_created", "id": id, "key": key.expose()}))
        }
        (true, Some(_)) => output::json(&json!({"event": "service_key_created", "id": id})),
        (false, None) => {
            eprintln!("service key id: {id}");
            output::line(key.expose())
        }
        (false, Some(_)) => {
            eprintln!("service key id: {id}");
            Ok(())
        }
    }
}

/// Stores a key and returns its id. The call is not repeated: if its answer is lost, the list shows a key that nobody has.
async fn store(session: &Session, new: NewServiceKey<'_>) -> Result<String> {
    let answer = session
        .connection()
        .call(Function::CreateServiceKey(new))
        .await?;
    match answer["outcome"].as_str().unwrap_or_default() {
        "created" => Ok(text(&answer["service_key"], "id")),
        "too_many" => Err(Error::new(
            ErrorKind::Database,
            "there are 50 valid service keys already",
        )
        .hint("revoke one first: keytool service-key list")),
        other => Err(unexpected_outcome(other)),
    }
}

async fn list(args: &ListArgs, progress: Rc<Progress>) -> Result<()> {
    let (session, _) = Session::open(&args.session, None, progress).await?;
    let organization = args.organization;
    let answer = session
        .call(Function::ListServiceKeys { organization })
        .await?;
    let keys = answer["service_keys"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if session.progress.is_json() {
        return output::json(&json!({"event": "service_keys", "service_keys": keys}));
    }
    keys.iter().try_for_each(|key| output::line(&line(key)))
}

async fn revoke(args: &RevokeArgs, progress: Rc<Progress>) -> Result<()> {
    let (session, _) = Session::open(&args.session, None, progress).await?;
    let id = args.id;
    let answer = session.call(Function::RevokeServiceKey { id }).await?;
    match answer["outcome"].as_str().unwrap_or_default() {
        "revoked" => session.progress.step(
            &json!({"event": "service_key_revoked", "id": id.to_string()}),
            &format!("service key {id} is revoked"),
        ),
        "unknown" => Err(
            Error::new(ErrorKind::Caller, "there is no service key with this id")
                .hint("keytool service-key list"),
        ),
        other => Err(unexpected_outcome(other)),
    }
}

fn line(key: &Value) -> String {
    let scopes: Vec<&str> = key["scopes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let owner = match key["organization_id"].as_str() {
        Some(id) => format!("organization {id}"),
        None => "all organizations".to_owned(),
    };
    let state = match (key["revoked_at"].as_str(), key["expires_at"].as_str()) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) => format!("expires {at}"),
        (None, None) => "does not expire".to_owned(),
    };
    let used = key["last_used_at"]
        .as_str()
        .map_or("never used".to_owned(), |at| format!("last used {at}"));
    let (id, prefix, name) = (text(key, "id"), text(key, "prefix"), text(key, "name"));
    format!(
        "{id}  {prefix}…  {name}; {owner}; {}; {state}; {used}",
        scopes.join(" ")
    )
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
