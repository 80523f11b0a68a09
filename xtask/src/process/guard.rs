//! Stops our children when we are killed without a chance to do it ourselves.
//!
//! The guard is this same program, in a process group of its own, reading a pipe that only we hold. While we live
//! it is told which groups live; when the pipe closes, whatever the reason, it stops those that are left.

use std::{
    collections::BTreeSet,
    env,
    io::{self, BufRead, Write},
    os::unix::process::CommandExt,
    process::{ChildStdin, Command, Stdio},
};

use super::group::{GroupId, stop_groups};

/// The hidden subcommand that is the guard.
pub const COMMAND: &str = "guard";

/// Our end of the pipe.
pub struct Guard(ChildStdin);

impl Guard {
    pub fn start() -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg(COMMAND)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        child
            .stdin
            .take()
            .map(Self)
            .ok_or_else(|| io::Error::other("the guard has no pipe"))
    }

    pub fn watch(&mut self, group: GroupId) -> io::Result<()> {
        writeln!(self.0, "+{group}")
    }

    pub fn forget(&mut self, group: GroupId) -> io::Result<()> {
        writeln!(self.0, "-{group}")
    }
}

/// What the guard does: keeps the list until the pipe closes.
pub fn run() {
    let mut live = BTreeSet::new();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        apply(&mut live, &line);
    }
    stop_groups(&live);
}

fn apply(live: &mut BTreeSet<GroupId>, line: &str) {
    let (sign, id) = line.split_at(line.len().min(1));
    // A group id of 0 or 1 would name ourselves or everything.
    let Some(id) = id.parse().ok().and_then(GroupId::new) else {
        return;
    };
    match sign {
        "+" => drop(live.insert(id)),
        "-" => drop(live.remove(&id)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_groups_that_were_not_forgotten() {
        let mut live = BTreeSet::new();
        for line in ["+120", "+130", "-120", "", "+", "+1", "+0", "+-5", "x7"] {
            apply(&mut live, line);
        }
        assert_eq!(
            live.into_iter()
                .map(|id| id.to_string())
                .collect::<Vec<_>>(),
            ["130"]
        );
    }
}
