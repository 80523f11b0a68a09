//! A question before something that cannot simply be taken back.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;

use crate::error::{Error, ErrorKind, Result};

#[derive(Args, Clone, Copy, Debug)]
pub struct ConfirmArgs {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl ConfirmArgs {
    /// Where nobody can be asked, the answer has to be given before anything is done.
    pub fn ensure_answer(self, json: bool) -> Result<()> {
        let can_ask = !json && io::stdin().is_terminal() && io::stderr().is_terminal();
        if self.yes || can_ask {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Caller,
            "this asks before it goes on, and there is no terminal to ask on",
        )
        .hint("add --yes"))
    }

    /// Asks, unless the answer was given.
    pub async fn ask(self, question: String) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        // On a thread of its own, so that Ctrl-C is heard meanwhile.
        let answer = tokio::task::spawn_blocking(move || {
            eprint!("{question} [y/N] ");
            let _ = io::stderr().flush();
            let mut line = String::new();
            let _ = io::stdin().lock().read_line(&mut line);
            line
        });
        let answer = answer.await.unwrap_or_default();
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Caller,
            "not confirmed: nothing was changed",
        ))
    }
}
