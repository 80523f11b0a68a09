//! Children: each in a process group of its own, none of which outlives us.
//!
//! A child that ends leaves nothing behind (what is left of its group is stopped), Ctrl-C and SIGTERM stop all
//! groups, and when we are killed outright the guard does.

mod group;
pub mod guard;

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::sys::signal::Signal;

use crate::failure::Failure;
use group::{GroupId, stop_groups};
use guard::Guard;

static LIVE: Mutex<Live> = Mutex::new(Live {
    groups: BTreeSet::new(),
    guard: None,
});
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

struct Live {
    groups: BTreeSet<GroupId>,
    guard: Option<Guard>,
}

fn live() -> MutexGuard<'static, Live> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a signal asked us to end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// From now on Ctrl-C, SIGTERM and SIGHUP stop every group; a second one does not wait for them.
pub fn stop_children_on_signals() -> Result<(), Failure> {
    ctrlc::set_handler(|| {
        let again = INTERRUPTED.swap(true, Ordering::SeqCst);
        let groups = live().groups.clone();
        if again {
            groups
                .iter()
                .for_each(|group| group.signal(Signal::SIGKILL));
        } else {
            // Elsewhere, so that the second signal is heard meanwhile.
            thread::spawn(move || stop_groups(&groups));
        }
    })
    .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))
}

/// A running child with all that it started.
pub struct Running {
    child: Child,
    group: GroupId,
    ended: bool,
}

impl Running {
    /// Starts the command in a process group of its own.
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Failure::with_hint(
                format!("cannot start {program}: there is no such program"),
                "is it installed, and in PATH?",
            ),
            _ => Failure::new(format!("cannot start {program}: {error}")),
        };
        // Locked until the group is listed: a signal in between must not miss it.
        let mut live = live();
        if interrupted() {
            return Err(Failure::Interrupted);
        }
        if live.guard.is_none() {
            live.guard = Some(Guard::start().map_err(Failure::io("cannot start the guard"))?);
        }
        let child = command.process_group(0).spawn().map_err(cannot)?;
        let Some(group) = i32::try_from(child.id()).ok().and_then(GroupId::new) else {
            return Err(Failure::new(format!(
                "{program} has no process group of its own"
            )));
        };
        live.groups.insert(group);
        // Without its guard a child is still stopped by every way of ending but SIGKILL.
        let _ = live.guard.as_mut().map(|guard| guard.watch(group));
        Ok(Self {
            child,
            group,
            ended: false,
        })
    }

    /// Waits for the child, then stops what it left behind.
    pub fn wait(mut self) -> Result<ExitStatus, Failure> {
        let status = self
            .child
            .wait()
            .map_err(Failure::io("cannot wait for a child"))?;
        self.end();
        if interrupted() {
            Err(Failure::Interrupted)
        } else {
            Ok(status)
        }
    }

    /// The status, when the child has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.child
            .try_wait()
            .map_err(Failure::io("cannot wait for a child"))
    }

    fn end(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        if self.group.is_alive() {
            stop_groups(&BTreeSet::from([self.group]));
        }
        let mut live = live();
        live.groups.remove(&self.group);
        let _ = live.guard.as_mut().map(|guard| guard.forget(self.group));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Reaped meanwhile: a child that nobody waits for would count as alive until the grace is over.
        let group = self.group;
        thread::scope(|scope| {
            scope.spawn(move || stop_groups(&BTreeSet::from([group])));
            let _ = self.child.wait();
        });
        self.end();
    }
}

/// Runs the command with both of its outputs in a file.
pub fn run_into(log: &Path, command: &mut Command) -> Result<ExitStatus, Failure> {
    start_into(log, command)?.wait()
}

/// Starts the command with both of its outputs in a file.
pub fn start_into(log: &Path, command: &mut Command) -> Result<Running, Failure> {
    let cannot = || Failure::io(format!("cannot write {}", log.display()));
    let output = File::create(log).map_err(cannot())?;
    let errors = output.try_clone().map_err(cannot())?;
    Running::start(command.stdin(Stdio::null()).stdout(output).stderr(errors))
}

/// Runs a short command and returns what it printed; `None` when it cannot run or fails.
pub fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
