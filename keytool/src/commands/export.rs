use std::path::PathBuf;
use std::rc::Rc;

use age::x25519::Recipient;
use clap::Args;
use serde_json::json;

use super::generate::new_file;
use crate::error::Result;
use crate::keys::KeyArgs;
use crate::progress::Progress;
use crate::rotation::export::{Export, connections};
use crate::rotation::findings::{Findings, ListArgs};
use crate::rotation::scope::Scope;
use crate::session::{Session, SessionArgs};
use crate::shown::{do_not, rows};

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Encrypt for this age recipient (age1…); repeat it for several
    #[arg(long, required = true, value_name = "RECIPIENT", value_parser = recipient)]
    recipient: Vec<Recipient>,

    /// Write to this new file, readable by its owner only
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    session: SessionArgs,

    #[command(flatten)]
    scope: Scope,

    #[command(flatten)]
    list: ListArgs,
}

/// The parser's own message may quote what was given, and that may be an identity, which is secret.
fn recipient(text: &str) -> Result<Recipient, &'static str> {
    text.parse()
        .map_err(|_| "not an age recipient: it begins with age1")
}

pub async fn run(args: &ExportArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    let ring = keys.ring()?;
    let (session, _) = Session::open(&args.session, Some(&ring), progress).await?;
    args.scope.ensure_known(session.connection()).await?;
    let file = new_file(&args.out)?;
    let findings = Findings::new(args.list, &session.progress);
    let outcome = async {
        let export = Export::new(file, &args.recipient, &ring, findings)?;
        connections(&session, &export, &args.scope).await?;
        export.finish()
    };
    let (count, findings) = outcome.await.inspect_err(|_| {
        // Without its end the file does not decrypt, and it would block the next attempt. This run has created it.
        let _ = std::fs::remove_file(&args.out);
    })?;
    findings.report(&session.progress)?;
    session.progress.step(
        &json!({"event": "exported", "rows": count, "does_not_open": findings.count()}),
        &format!(
            "exported {}; {} not open",
            rows(count),
            do_not(findings.count())
        ),
    )?;
    findings.ensure_none()
}
