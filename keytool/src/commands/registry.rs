use std::rc::Rc;

use clap::Args;

use crate::error::Result;
use crate::keys::KeyArgs;
use crate::output;
use crate::progress::Progress;
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct RegistryArgs {
    #[command(flatten)]
    session: SessionArgs,
}

pub async fn run(args: &RegistryArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    let ring = keys.ring_if_given()?;
    let (session, registry) = Session::open(&args.session, ring.as_ref(), progress).await?;
    if session.progress.is_json() {
        let mut event = registry.to_json();
        event["event"] = "registry".into();
        return output::json(&event);
    }
    registry
        .lines()
        .iter()
        .try_for_each(|line| output::line(line))
}
