//! A process group: a child and everything it starts, stopped as one.

use std::{
    collections::BTreeSet,
    fmt, thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// How long a group may take to end by itself: PostgreSQL writes its checkpoint in it.
const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// The id of a process group that is neither ours nor everybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId(i32);

impl GroupId {
    pub fn new(id: i32) -> Option<Self> {
        (id > 1).then_some(Self(id))
    }

    /// Whether a process of the group is left.
    pub fn is_alive(self) -> bool {
        killpg(Pid::from_raw(self.0), None).is_ok()
    }

    /// A group that is gone already is what the caller wants.
    pub fn signal(self, signal: Signal) {
        let _ = killpg(Pid::from_raw(self.0), signal);
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Asks the groups to end, waits, and kills what is left.
pub fn stop_groups(groups: &BTreeSet<GroupId>) {
    for group in groups {
        group.signal(Signal::SIGTERM);
    }
    let end = Instant::now() + GRACE;
    while groups.iter().any(|group| group.is_alive()) {
        if Instant::now() >= end {
            for group in groups {
                group.signal(Signal::SIGKILL);
            }
            return;
        }
        thread::sleep(POLL);
    }
}
