//! The state of a scan, which [`Run`](crate::Run) advances: its position, its settings and its bounds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, Pages, Read};
use crate::judge::{Bound, Tally};
use crate::outcome::{Outcome, Reason};
use crate::template;

/// How much a scan may ask and keep.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Requests of the whole scan, retries included.
    pub requests: u32,
    /// Bytes of one answer.
    pub answer_bytes: usize,
    /// Pages of one list.
    pub pages: u32,
    /// Items of one list.
    pub items: usize,
    /// Items of all lists that wait for the reads below them. It bounds the [`Position`]: about 300 bytes each.
    pub tasks: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            requests: 50_000,
            answer_bytes: 5 << 20,
            pages: 100,
            items: 10_000,
            tasks: 10_000,
        }
    }
}

/// Where a scan is: plain data to keep between slices, as JSON. It holds ids and names of the provider, and no answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// [`crate::catalogue_hash`] of the checks that judge.
    pub(crate) catalogue: String,
    pub(crate) tasks: VecDeque<Task>,
    pub(crate) requests: u32,
    /// Unix seconds.
    pub(crate) not_before: i64,
    /// The provider asked for this pause, because of a rate limit.
    #[serde(default)]
    pub(crate) is_limited: bool,
    pub(crate) fresh_credential: bool,
    pub(crate) ended: Option<Reason>,
    /// The checks of which some part was not looked at.
    pub(crate) incomplete: BTreeMap<String, Reason>,
    /// The checks that supersede others, and have seen what they judge.
    pub(crate) seen: BTreeSet<String>,
    /// What one read said, of the checks that need two.
    pub(crate) halves: BTreeMap<String, Outcome>,
}

/// A request that waits, and what is known of the list that it is a part of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Task {
    pub(crate) read: String,
    /// The reads that are asked after it, with the same values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) then: Vec<String>,
    pub(crate) bound: Bound,
    /// The read that is asked in its stead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) via: Option<String>,
    /// The next page, where it is not the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) page: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) items: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) tries: u32,
    /// What was counted, by check.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tallies: BTreeMap<String, Tally>,
    /// The reads below that an item asked for.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) asked: BTreeSet<String>,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl Task {
    /// The first of these reads, and after it the others.
    pub(crate) fn new(mut reads: Vec<String>, bound: Bound) -> Option<Self> {
        if reads.is_empty() {
            return None;
        }
        Some(Self {
            read: reads.remove(0),
            then: reads,
            bound,
            ..Self::default()
        })
    }
}

/// A scan of one account: what does not change, and the position.
#[derive(Debug)]
pub(crate) struct State<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) settings: Bound,
    pub(crate) granted: Option<Vec<String>>,
    pub(crate) bounds: Bounds,
    pub(crate) position: Position,
}

impl<'a> State<'a> {
    /// The read whose request is made.
    pub(crate) fn asked(&self, task: &Task) -> &'a Read {
        &self.entry.reads[task.via.as_ref().unwrap_or(&task.read)]
    }

    /// The URL of the task's next request. None if a value that it names is missing, or would change its shape.
    pub(crate) fn url(&self, task: &Task) -> Option<String> {
        let url = match &task.url {
            Some(url) => url.clone(),
            None => {
                let read = self.asked(task);
                let url = template::fill_url(&read.url, &task.bound)?;
                match &read.pages {
                    Some(Pages::Page { param, first }) => {
                        let mark = if url.contains('?') { '&' } else { '?' };
                        format!("{url}{mark}{param}={first}")
                    }
                    _ => url,
                }
            }
        };
        template::is_allowed(&url, &self.entry.hosts).then_some(url)
    }

    /// Puts what follows a task that is over in its place.
    pub(crate) fn follow(&mut self, task: Task) {
        if let Some(next) = Task::new(task.then, task.bound) {
            self.position.tasks.push_front(next);
        }
    }
}
