use std::rc::Rc;

use clap::Args;

use crate::error::Result;
use crate::keys::KeyArgs;
use crate::progress::Progress;
use crate::rotation::findings::{Findings, ListArgs};
use crate::rotation::scope::Scope;
use crate::rotation::verify::ensure_all_open;
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    session: SessionArgs,

    #[command(flatten)]
    scope: Scope,

    #[command(flatten)]
    list: ListArgs,

    /// Use the primary key alone, as the worker will without fallback keys
    #[arg(long)]
    primary_only: bool,
}

pub async fn run(args: &VerifyArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    let (all, used) = if args.primary_only {
        // What the fallbacks are is good to know, and they may be wrong or gone.
        let all = keys.ring().or_else(|_| keys.ring_without_fallbacks())?;
        (all, keys.ring_without_fallbacks()?)
    } else {
        (keys.ring()?, keys.ring()?)
    };
    let (session, _) = Session::open(&args.session, Some(&all), progress).await?;
    args.scope.ensure_known(session.connection()).await?;
    let mut findings = Findings::new(args.list, &session.progress);
    if args.primary_only {
        findings = findings.with_primary_only(&all);
    }
    ensure_all_open(&session, &used, &args.scope, findings).await?;
    if args.scope.is_everything() {
        session
            .registry()
            .await?
            .elsewhere
            .ensure_only(&used, &all)?;
    }
    Ok(())
}
