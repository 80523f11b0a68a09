use clap::Args;
use serde_json::json;

use crate::error::Result;
use crate::keys::KeyArgs;
use crate::output;

#[derive(Args, Debug)]
pub struct IdArgs {
    /// Also print the ids of the fallback keys, one a line
    #[arg(long)]
    all: bool,
}

pub fn run(args: &IdArgs, keys: &KeyArgs, json: bool) -> Result<()> {
    let kids: Vec<String> = if args.all {
        keys.ring()?.kids().map(|kid| kid.to_string()).collect()
    } else {
        vec![keys.primary()?.kid().to_string()]
    };
    match (&kids[..], json) {
        ([primary, fallbacks @ ..], true) if args.all => {
            output::json(&json!({"kid": primary, "fallback_kids": fallbacks}))
        }
        ([primary, ..], true) => output::json(&json!({"kid": primary})),
        (kids, _) => kids.iter().try_for_each(|kid| output::line(kid)),
    }
}
