use std::rc::Rc;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};
use crate::output;
use crate::progress::Progress;
use crate::session::{Session, SessionArgs};
use crate::settings::uuid;
use crate::store::Function;
use crate::store::data_keys::read;

#[derive(Args, Debug)]
pub struct DataKeysArgs {
    /// The organization; the nil UUID stands for the deployment itself
    #[arg(value_name = "ORGANIZATION", value_parser = uuid)]
    organization: Uuid,

    #[command(flatten)]
    session: SessionArgs,
}

/// Prints them as `--data-keys` takes them. Without a key of the deployment they open nothing.
pub async fn run(args: &DataKeysArgs, progress: Rc<Progress>) -> Result<()> {
    let (session, _) = Session::open(&args.session, None, progress).await?;
    let organizations = &[args.organization];
    let answer = session.call(Function::DataKeys { organizations }).await?;
    if read(&answer)?.is_empty() {
        return Err(none(args.organization));
    }
    output::json(&json!({"data_keys": answer["data_keys"]}))
}

pub fn none(organization: Uuid) -> Error {
    let message = format!("organization {organization} has no data keys");
    Error::new(ErrorKind::Caller, message).hint("is it the right id, and the right database?")
}
