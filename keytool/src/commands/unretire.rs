use std::rc::Rc;

use clap::Args;
use sealed::Kid;

use crate::confirm::ConfirmArgs;
use crate::error::Result;
use crate::keys::KeyArgs;
use crate::progress::Progress;
use crate::rotation::retire::unretire;
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct UnretireArgs {
    /// Id of the key that was retired by mistake
    #[arg(value_name = "KID")]
    kid: Kid,

    #[command(flatten)]
    confirm: ConfirmArgs,

    #[command(flatten)]
    session: SessionArgs,
}

pub async fn run(args: &UnretireArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    args.confirm.ensure_answer(progress.is_json())?;
    let ring = keys.ring_if_given()?;
    let (session, _) = Session::open(&args.session, ring.as_ref(), progress).await?;
    unretire(&session, args.kid, args.confirm).await
}
