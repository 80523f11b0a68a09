use clap::Args;
use sealed::Kid;

use crate::error::Result;
use crate::keys::KeyArgs;
use crate::rotation::retire::{no_key, retire};
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct RetireArgs {
    /// Ids of the keys to retire [default: all fallback keys]
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
