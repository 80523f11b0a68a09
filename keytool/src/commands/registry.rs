use clap::Args;

use crate::error::Result;
use crate::output;
use crate::session::{Session, SessionArgs};

#[derive(Args, Debug)]
pub struct RegistryArgs {
    #[command(flatten)]
    session: SessionArgs,
}

pub async fn run(args: &RegistryArgs, json: bool) -> Result<()> {
    let (_, registry) = Session::open(&args.session, json).await?;
    if json {
        return output::json(&registry.to_json());
    }
    registry
        .lines()
        .iter()
        .try_for_each(|line| output::line(line))
}
