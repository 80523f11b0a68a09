use std::path::PathBuf;

use clap::Args;
use sealed::{Key, Kid};
use serde_json::json;
use zeroize::Zeroizing;

use super::generate::write_new;
use crate::error::{Error, ErrorKind, Result};
use crate::keys::KeyArgs;
use crate::output;
use crate::settings::{FALLBACKS, PRIMARY};

#[derive(Args, Debug)]
pub struct SwitchArgs {
    /// Write the settings to this new file, readable by its owner only
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Id of the fallback key that becomes the primary key; needed if there are several
    #[arg(long, value_name = "KID")]
    to: Option<Kid>,
}

/// The settings as they are when the worker seals with the new key: it first, and the one that was first among the fallbacks.
pub fn run(args: &SwitchArgs, keys: &KeyArgs, json: bool) -> Result<()> {
    let (old, fallbacks) = keys.primary_and_fallbacks()?;
    let chosen = match (args.to, &fallbacks[..]) {
        (None, [_]) => Some(0),
        (None, []) => None,
        (None, _) => {
            return Err(Error::new(ErrorKind::Caller, "there are several fallback keys")
                .hint("say with --to which one becomes the primary key; `keytool id --all` prints their ids"));
        }
        (Some(kid), fallbacks) => fallbacks.iter().position(|key| key.kid() == kid),
    };
    let Some(chosen) = chosen else {
        return Err(Error::new(ErrorKind::Caller, "the new key is not among the fallback keys")
            .hint("ENCRYPTION_KEY is the key in use, and FALLBACK_ENCRYPTION_KEYS, or --fallback-key-file, has the new one"));
    };
    let others = fallbacks.iter().enumerate().filter(|(at, _)| *at != chosen);
    let later: Vec<&Key> = std::iter::once(&old)
        .chain(others.map(|(_, key)| key))
        .collect();
    let new = &fallbacks[chosen];
    // Keys hold no character that JSON escapes.
    let mut text = Zeroizing::new(String::with_capacity(200 + 50 * later.len()));
    text.push_str(&format!("{{\"{PRIMARY}\": \""));
    text.push_str(new.to_base64().expose());
    text.push_str(&format!("\", \"{FALLBACKS}\": \""));
    for (at, key) in later.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(key.to_base64().expose());
    }
    text.push_str("\"}");
    write_new(&args.out, &text)?;
    let kids: Vec<String> = later.iter().map(|key| key.kid().to_string()).collect();
    if json {
        return output::json(&json!({"kid": new.kid().to_string(), "fallback_kids": kids}));
    }
    eprintln!("primary key: {}", new.kid());
    eprintln!("fallback keys: {}", kids.join(", "));
    eprintln!(
        "hint: give the file to `npx wrangler secret bulk`, then remove it: it holds keys in the clear"
    );
    Ok(())
}
