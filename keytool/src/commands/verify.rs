use clap::Args;

use crate::error::Result;
use crate::keys::KeyArgs;
use crate::rotation::scope::Scope;
use crate::rotation::verify::ensure_all_open;
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    session: SessionArgs,

    #[command(flatten)]
    scope: Scope,

    /// Use the primary key alone, as the worker will without fallback keys
    #[arg(long)]
    primary_only: bool,
}

pub async fn run(args: &VerifyArgs, keys: &KeyArgs, json: bool) -> Result<()> {
    let ring = if args.primary_only {
        keys.ring_without_fallbacks()?
    } else {
        keys.ring()?
    };
    let (session, _) = Session::open(&args.session, json).await?;
    ensure_all_open(&session, &ring, &args.scope).await?;
    Ok(())
}
