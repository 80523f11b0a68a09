use clap::Args;

use crate::error::Result;
use crate::output;
use crate::registry::Registry;
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
    for line in lines(&registry) {
        output::line(&line)?;
    }
    Ok(())
}

/// The fence, and each key with its state.
pub fn lines(registry: &Registry) -> Vec<String> {
    let fence = match &registry.fence {
        Some(fence) => format!("fence: up since {}", fence.declared_at),
        None => "fence: none".to_owned(),
    };
    let keys = registry
        .keys
        .iter()
        .map(|key| format!("key {}: {} since {}", key.kid, key.state, key.changed_at));
    std::iter::once(fence).chain(keys).collect()
}
