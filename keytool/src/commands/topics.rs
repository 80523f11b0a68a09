use clap::{Args, Command};

use crate::error::{Error, ErrorKind, Result};
use crate::output;

/// The short form of docs/rotation.md.
const ROTATION: &str = include_str!("rotation.txt");

#[derive(Args, Debug)]
pub struct TopicArgs {
    /// A command, or `rotation`
    topic: Option<String>,
}

/// `command` is the whole command line.
pub fn run(args: &TopicArgs, mut command: Command) -> Result<()> {
    let text = match args.topic.as_deref() {
        None => command.render_long_help().to_string(),
        Some("rotation") => ROTATION.to_owned(),
        Some(topic) => {
            // A built command also knows the global options.
            command.build();
            let Some(command) = command.find_subcommand_mut(topic) else {
                return Err(Error::new(ErrorKind::Caller, "there is no help on this")
                    .hint("`keytool help` lists the commands, `keytool help rotation` explains a rotation"));
            };
            command.render_long_help().to_string()
        }
    };
    output::text(text.trim_end())
}
