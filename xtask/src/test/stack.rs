//! The one stack that all test files of a run share.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

use crate::{
    failure::Failure,
    process::{self, Running},
    progress,
    project::Project,
    setup,
};

const START_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
const PREFIX: &str = "test-";

/// A running stack without a worker; dropped, it is stopped and its folder removed.
pub struct Stack {
    running: Option<Running>,
    folder: PathBuf,
}

impl Stack {
    pub fn start(project: &Project) -> Result<Self, Failure> {
        remove_abandoned(&project.path(".dev"));
        let name = format!("{PREFIX}{}", std::process::id());
        let folder = project.path(".dev").join(&name);
        let log = project.log("test-stack")?;
        let mut node = project.node();
        node.args([
            "tests/stack/main.mjs",
            "--no-worker",
            "--no-vars",
            "--dir",
            &format!(".dev/{name}"),
        ]);
        let step = progress::begin("starting the stack for the tests");
        let running = process::start_into(&log, &mut node)?;
        let mut stack = Self {
            running: Some(running),
            folder,
        };
        stack.wait_until_ready(project, &log)?;
        step.done("the stack for the tests is up");
        Ok(stack)
    }

    /// What the tests find in STACK_JSON.
    pub fn description(&self) -> PathBuf {
        self.folder.join("stack.json")
    }

    fn wait_until_ready(&mut self, project: &Project, log: &Path) -> Result<(), Failure> {
        let hint = "`cargo xtask dev --no-worker` shows how it starts";
        let begun = Instant::now();
        while !says_ready(&fs::read_to_string(log).unwrap_or_default()) {
            let ended = self.running.as_mut().map_or(Ok(None), Running::try_wait)?;
            if process::interrupted() {
                return Err(Failure::Interrupted);
            }
            if ended.is_some() {
                return Err(setup::failed(project, "starting the stack", log, hint));
            }
            if begun.elapsed() > START_LIMIT {
                let limit = progress::seconds(START_LIMIT);
                return Err(setup::failed(
                    project,
                    &format!("starting the stack (not ready after {limit})"),
                    log,
                    hint,
                ));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // First the processes, then what they write to.
        drop(self.running.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn says_ready(log: &str) -> bool {
    log.lines().any(|line| line.starts_with("ready"))
}

/// Folders of runs that were killed: the guard stopped their processes, nobody their files.
fn remove_abandoned(dev: &Path) {
    for entry in fs::read_dir(dev).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse().ok())
            .map(Pid::from_raw);
        if owner.is_some_and(|pid| kill(pid, None) == Err(Errno::ESRCH)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::says_ready;

    #[test]
    fn ready_is_a_line_of_its_own() {
        assert!(says_ready(
            "database: 1.2 s\nready: http://localhost:3000\n"
        ));
        assert!(!says_ready("not ready yet\nalready\n"));
    }
}
