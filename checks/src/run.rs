//! A scan as a machine without IO: it yields the next request as data, takes the answer, and returns what the checks say of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::answer::{self, Answer, Meant, Request};
use crate::entry::Entry;
use crate::judge;
use crate::outcome::{Outcome, Reason};
use crate::page::{self, After, Page};
use crate::state::{Bounds, Position, State, Task};
use crate::unseen::{unseen, unseen_with_followers};

/// What a scan wants next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Make this request, and hand its answer to [`Run::take`].
    Ask(Request),
    /// Nothing before this time, in Unix seconds.
    Wait(i64),
    /// The scan is over.
    Done,
}

/// How often one request is made, the first time included.
const TRIES: u32 = 5;

/// A scan of one account.
#[derive(Debug)]
pub struct Run<'a> {
    state: State<'a>,
}

impl<'a> Run<'a> {
    /// A scan from its beginning. `settings` are the values of the entry's `settings`; `granted` the scopes of the credential, if
    /// they are known: what they do not cover is not asked.
    pub fn new(
        entry: &'a Entry,
        settings: BTreeMap<String, String>,
        granted: Option<Vec<String>>,
        bounds: Bounds,
    ) -> Self {
        let gate = entry.gate.as_ref().map(|gate| &gate.read);
        let mut roots: Vec<&String> = entry
            .reads
            .iter()
            .filter(|(name, read)| read.for_each.is_none() && !entry.is_fallback(name))
            .map(|(name, _)| name)
            .collect();
        // What another check may supersede is judged when that check has looked.
        roots.sort_by_key(|name| (Some(*name) != gate, entry.may_be_superseded(name)));
        let tasks = roots
            .into_iter()
            .filter_map(|name| Task::new(vec![name.clone()], settings.clone()));
        let position = Position {
            catalogue: crate::catalogue_hash().to_owned(),
            tasks: tasks.collect(),
            requests: 0,
            not_before: i64::MIN,
            is_limited: false,
            fresh_credential: false,
            ended: None,
            incomplete: BTreeMap::new(),
            seen: BTreeSet::new(),
            halves: BTreeMap::new(),
        };
        Self {
            state: State {
                entry,
                settings,
                granted,
                bounds,
                position,
            },
        }
    }

    /// The scan that left this position, here or elsewhere. None if other checks left it: then it begins anew.
    pub fn resume(
        entry: &'a Entry,
        settings: BTreeMap<String, String>,
        granted: Option<Vec<String>>,
        bounds: Bounds,
        position: Position,
    ) -> Option<Self> {
        (position.catalogue == crate::catalogue_hash()).then_some(Self {
            state: State {
                entry,
                settings,
                granted,
                bounds,
                position,
            },
        })
    }

    /// Where the scan is. After [`start`](Self::start) and between two calls of [`take`](Self::take) it may be kept and resumed.
    pub fn position(&self) -> &Position {
        &self.state.position
    }

    /// How many requests were answered.
    pub fn requests(&self) -> u32 {
        self.state.position.requests
    }

    /// Whether the pause before the next request is one that the provider asked for, because of a rate limit.
    pub fn is_limited(&self) -> bool {
        self.state.position.is_limited
    }

    /// Why the scan ended before its end.
    pub fn ended(&self) -> Option<Reason> {
        self.state.position.ended
    }

    /// The checks of which some part was not looked at, and why.
    pub fn incomplete(&self) -> &BTreeMap<String, Reason> {
        &self.state.position.incomplete
    }

    /// What to do next. Calling it again without [`take`](Self::take) says the same.
    pub fn next(&self, now: i64) -> Step {
        let position = &self.state.position;
        let Some(task) = position.tasks.front() else {
            return Step::Done;
        };
        if now < position.not_before {
            return Step::Wait(position.not_before);
        }
        let read = self.state.asked(task);
        let mut headers = self.state.entry.headers.clone();
        if let Some(range) = &task.range {
            headers.insert("range".to_owned(), range.clone());
        }
        Step::Ask(Request {
            read: task.via.clone().unwrap_or_else(|| task.read.clone()),
            method: read.method,
            url: self.state.url(task).unwrap_or_default(),
            headers,
            body: read.body.clone(),
            max_bytes: self.state.bounds.answer_bytes,
            fresh_credential: position.fresh_credential,
        })
    }

    /// Settles what needs no request: checks for a person, tasks whose scope is missing or whose URL cannot be made. Call it once,
    /// before the first [`next`](Self::next) of a new scan.
    pub fn start(&mut self) -> Vec<Outcome> {
        let state = &self.state;
        let manual = state
            .entry
            .checks
            .iter()
            .filter(|check| check.read.is_none());
        let mut outcomes = manual
            .map(|check| judge::manual(state.entry, check, &state.settings))
            .collect();
        self.skip(&mut outcomes);
        outcomes
    }

    /// Takes the answer to the request of [`next`](Self::next), and returns what the checks say of it.
    pub fn take(&mut self, answer: Answer, now: i64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let state = &mut self.state;
        let Some(mut task) = state.position.tasks.pop_front() else {
            return outcomes;
        };
        state.position.requests += 1;
        let read = state.asked(&task);
        let specials: Vec<_> = read.answers.iter().chain(&state.entry.answers).collect();
        let meant = answer::read(answer, &specials, state.bounds.answer_bytes, now);
        state.position.is_limited = false;
        let was_fresh = state.position.fresh_credential;
        state.position.fresh_credential = matches!(meant, Meant::Unauthorized) && !was_fresh;
        let after = match meant {
            Meant::Json(json, status, headers) => {
                let page = Page {
                    json: &json,
                    status,
                    headers: &headers,
                    now,
                };
                page::take(state, task, &page, &mut outcomes)
            }
            Meant::Later(at, reason) if task.tries + 1 < TRIES => {
                task.tries += 1;
                state.position.not_before = at;
                state.position.is_limited = reason == Reason::Limited;
                After::Again(task)
            }
            Meant::Unauthorized if was_fresh => {
                state.position.tasks.push_front(task);
                self.end(Reason::Unauthorized, &mut outcomes);
                return outcomes;
            }
            Meant::Unauthorized => After::Again(task),
            Meant::Nothing(Reason::Hidden | Reason::Forbidden)
                if task.via.is_none() && task.page == 0 && read.fallback.is_some() =>
            {
                task.via = read.fallback.clone();
                After::Again(task)
            }
            Meant::Later(_, reason) | Meant::Nothing(reason) => {
                unseen(state, &task, reason, &mut outcomes);
                After::Over(task)
            }
        };
        match after {
            After::Again(task) => state.position.tasks.push_front(task),
            After::Over(task) => state.follow(task),
        }
        if state.position.requests >= state.bounds.requests {
            self.end(Reason::Truncated, &mut outcomes);
        }
        self.skip(&mut outcomes);
        outcomes
    }

    /// Gives up: all that was not looked at is unknown, for this reason.
    pub fn end(&mut self, reason: Reason, outcomes: &mut Vec<Outcome>) {
        let state = &mut self.state;
        if state.position.tasks.is_empty() {
            return;
        }
        state.position.ended = Some(reason);
        while let Some(task) = state.position.tasks.pop_front() {
            unseen_with_followers(state, &task, reason, outcomes);
        }
    }

    /// Passes over the tasks that cannot be asked.
    fn skip(&mut self, outcomes: &mut Vec<Outcome>) {
        let state = &mut self.state;
        while let Some(task) = state.position.tasks.front() {
            let read = state.asked(task);
            let granted = state.granted.as_ref();
            let is_granted = granted
                .is_none_or(|granted| read.scope.iter().all(|scope| granted.contains(scope)));
            let reason = match (is_granted, state.url(task)) {
                (true, Some(_)) => return,
                (false, _) => Reason::NoScope,
                (true, None) => Reason::Absent,
            };
            if let Some(task) = state.position.tasks.pop_front() {
                unseen(state, &task, reason, outcomes);
                state.follow(task);
            }
        }
    }
}
