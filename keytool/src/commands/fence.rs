use std::rc::Rc;

use clap::Args;

use crate::error::Result;
use crate::keys::KeyArgs;
use crate::progress::Progress;
use crate::rotation::fence;
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct FenceArgs {
    #[command(flatten)]
    session: SessionArgs,

    /// Remove the fence, so that writers may use any key
    #[arg(long)]
    lift: bool,
}

pub async fn run(args: &FenceArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    if args.lift {
        let (session, _) = Session::open(&args.session, None, progress).await?;
        return fence::lift(&session).await;
    }
    let ring = keys.ring()?;
    let (session, registry) = Session::open(&args.session, Some(&ring), progress).await?;
    registry.ensure_not_retired(ring.primary_kid())?;
    registry.ensure_not_swapped(&ring)?;
    fence::raise_if_done(&session, &ring).await
}
