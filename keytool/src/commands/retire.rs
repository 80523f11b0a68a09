use std::rc::Rc;

use clap::Args;
use sealed::Kid;

use crate::confirm::ConfirmArgs;
use crate::error::Result;
use crate::keys::KeyArgs;
use crate::progress::Progress;
use crate::rotation::retire::{no_key, retire};
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct RetireArgs {
    /// Ids of the keys to retire [default: all fallback keys]
    #[arg(value_name = "KID")]
    kids: Vec<Kid>,

    #[command(flatten)]
    confirm: ConfirmArgs,

    #[command(flatten)]
    session: SessionArgs,
}

pub async fn run(args: &RetireArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    let ring = keys.ring()?;
    let kids: Vec<Kid> = if args.kids.is_empty() {
        ring.kids().skip(1).collect()
    } else {
        args.kids.clone()
    };
    if kids.is_empty() {
        return Err(no_key());
    }
    args.confirm.ensure_answer(progress.is_json())?;
    let (session, _) = Session::open(&args.session, Some(&ring), progress).await?;
    let alone = keys.ring_without_fallbacks()?;
    retire(&session, &alone, &ring, &kids, args.confirm).await
}
