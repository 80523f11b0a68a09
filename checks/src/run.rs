//! A scan as a machine without IO: it yields the next request as data, takes the answer, and returns what the checks say of it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::{self, Answer, Meant, Request};
use crate::entry::{Check, Entry, Over, Pages, Read};
use crate::evaluate::{Truth, evaluate};
use crate::judge::{self, Bound, Tally};
use crate::outcome::{Outcome, Reason, Status};
use crate::pages::{self, Next};
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
    /// Requests planned at one time: a list of 5,000 repositories with four reads each has 20,000.
    pub tasks: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            requests: 30_000,
            answer_bytes: 5 << 20,
            pages: 100,
            items: 10_000,
            tasks: 50_000,
        }
    }
}

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

/// Where a scan is: plain data to keep between slices. It holds ids of the provider, and no answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// [`crate::catalogue_hash`] of the checks that judge.
    catalogue: String,
    tasks: VecDeque<Task>,
    requests: u32,
    not_before: i64,
    fresh_credential: bool,
    ended: Option<Reason>,
    /// The checks of which some part was not looked at.
    incomplete: BTreeMap<String, Reason>,
}

/// A request that waits, and what is known of the list that it is a part of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Task {
    read: String,
    /// The read that is asked in its stead.
    via: Option<String>,
    bound: Bound,
    /// The next page, where it is not the first.
    url: Option<String>,
    range: Option<String>,
    page: u32,
    items: usize,
    tries: u32,
    tallies: BTreeMap<String, Tally>,
}

/// How often one request is made, the first time included.
const TRIES: u32 = 5;

/// A scan of one account.
#[derive(Debug)]
pub struct Run<'a> {
    entry: &'a Entry,
    settings: Bound,
    granted: Option<Vec<String>>,
    bounds: Bounds,
    position: Position,
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
        let roots = entry
            .reads
            .iter()
            .filter(|(name, read)| read.for_each.is_none() && entry.is_asked(name));
        let mut tasks: Vec<Task> = roots
            .map(|(name, _)| Task::new(name, settings.clone()))
            .collect();
        tasks.sort_by_key(|task| Some(&task.read) != gate);
        let position = Position {
            catalogue: crate::catalogue_hash().to_owned(),
            tasks: tasks.into(),
            requests: 0,
            not_before: i64::MIN,
            fresh_credential: false,
            ended: None,
            incomplete: BTreeMap::new(),
        };
        Self {
            entry,
            settings,
            granted,
            bounds,
            position,
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
            entry,
            settings,
            granted,
            bounds,
            position,
        })
    }

    /// Where the scan is. Between two calls of [`take`](Self::take) it may be kept and resumed.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// How many requests were answered.
    pub fn requests(&self) -> u32 {
        self.position.requests
    }

    /// Why the scan ended before its end.
    pub fn ended(&self) -> Option<Reason> {
        self.position.ended
    }

    /// The checks of which some part was not looked at, and why.
    pub fn incomplete(&self) -> &BTreeMap<String, Reason> {
        &self.position.incomplete
    }

    /// What to do next. Calling it again without [`take`](Self::take) says the same.
    pub fn next(&self, now: i64) -> Step {
        let Some(task) = self.position.tasks.front() else {
            return Step::Done;
        };
        if now < self.position.not_before {
            return Step::Wait(self.position.not_before);
        }
        let read = self.asked(task);
        let mut headers = self.entry.headers.clone();
        if let Some(range) = &task.range {
            headers.insert("range".to_owned(), range.clone());
        }
        Step::Ask(Request {
            read: task.via.clone().unwrap_or_else(|| task.read.clone()),
            method: read.method,
            url: self.url(task).unwrap_or_default(),
            headers,
            body: read.body.clone(),
            max_bytes: self.bounds.answer_bytes,
            fresh_credential: self.position.fresh_credential,
        })
    }

    /// Settles what needs no request: tasks whose scope is missing, or whose URL cannot be made. Call it before the first
    /// [`next`](Self::next); `take` does it as well.
    pub fn start(&mut self) -> Vec<Outcome> {
        let mut outcomes = self.manual();
        self.skip(&mut outcomes);
        outcomes
    }

    /// Takes the answer to the request of [`next`](Self::next), and returns what the checks say of it.
    pub fn take(&mut self, answer: Answer, now: i64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let Some(mut task) = self.position.tasks.pop_front() else {
            return outcomes;
        };
        self.position.requests += 1;
        let entry = self.entry;
        let read = self.asked(&task);
        let specials: Vec<_> = read.answers.iter().chain(&entry.answers).collect();
        match answer::read(answer, &specials, self.bounds.answer_bytes, now) {
            Meant::Json(json, status, headers) => {
                self.position.fresh_credential = false;
                self.page(task, &json, status, &headers, now, &mut outcomes);
            }
            Meant::Later(_, reason) if task.tries + 1 >= TRIES => {
                self.nothing(&task, reason, &mut outcomes);
            }
            Meant::Later(at, _) => {
                task.tries += 1;
                self.position.not_before = at;
                self.position.tasks.push_front(task);
            }
            Meant::Unauthorized if !self.position.fresh_credential => {
                self.position.fresh_credential = true;
                self.position.tasks.push_front(task);
            }
            Meant::Unauthorized => {
                self.position.tasks.push_front(task);
                self.end(Reason::Unauthorized, &mut outcomes);
            }
            Meant::Nothing(Reason::Hidden | Reason::Forbidden)
                if task.via.is_none() && task.page == 0 && read.fallback.is_some() =>
            {
                task.via = read.fallback.clone();
                self.position.tasks.push_front(task);
            }
            Meant::Nothing(reason) => self.nothing(&task, reason, &mut outcomes),
        }
        if self.position.requests >= self.bounds.requests {
            self.end(Reason::Truncated, &mut outcomes);
        }
        self.skip(&mut outcomes);
        outcomes
    }

    /// Gives up: all that was not looked at is unknown, for this reason.
    pub fn end(&mut self, reason: Reason, outcomes: &mut Vec<Outcome>) {
        if self.position.tasks.is_empty() {
            return;
        }
        self.position.ended = Some(reason);
        while let Some(task) = self.position.tasks.pop_front() {
            self.nothing(&task, reason, outcomes);
        }
    }

    fn manual(&self) -> Vec<Outcome> {
        let manual = self
            .entry
            .checks
            .iter()
            .filter(|check| check.read.is_none());
        manual
            .map(|check| {
                let mut outcome =
                    judge::without(self.entry, check, &self.settings, Reason::Absent, &[]);
                (outcome.status, outcome.reason) = (Status::Manual, None);
                outcome
            })
            .collect()
    }

    fn skip(&mut self, outcomes: &mut Vec<Outcome>) {
        while let Some(task) = self.position.tasks.front() {
            let read = self.asked(task);
            let granted = self
                .granted
                .as_ref()
                .is_none_or(|granted| read.scope.iter().all(|scope| granted.contains(scope)));
            let reason = match (granted, self.url(task)) {
                (true, Some(_)) => return,
                (false, _) => Reason::NoScope,
                (true, None) => Reason::BadAnswer,
            };
            if let Some(task) = self.position.tasks.pop_front() {
                self.nothing(&task, reason, outcomes);
            }
        }
    }

    /// One page of JSON.
    fn page(
        &mut self,
        mut task: Task,
        json: &Value,
        status: u16,
        headers: &BTreeMap<String, String>,
        now: i64,
        outcomes: &mut Vec<Outcome>,
    ) {
        let entry = self.entry;
        let read = self.asked(&task);
        let Some(at) = &read.items else {
            if !json.is_object() && !json.is_array() {
                return self.nothing(&task, Reason::BadAnswer, outcomes);
            }
            for check in entry.checks_of(&task.read) {
                outcomes.extend(judge::judge(entry, check, &task.bound, json, now));
            }
            self.children(&task, json, now, outcomes);
            return self.gate(&task, json, now, outcomes);
        };
        let Some(Value::Array(items)) = json.pointer(at) else {
            return self.nothing(&task, Reason::BadAnswer, outcomes);
        };
        for item in items {
            for check in entry.checks_of(&task.read) {
                if judge::is_by_item(check) {
                    outcomes.extend(judge::judge(entry, check, &task.bound, item, now));
                } else {
                    task.tallies
                        .entry(check.id.clone())
                        .or_default()
                        .count(check, item, now);
                }
            }
            self.children(&task, item, now, outcomes);
        }
        task.items += items.len();
        let url = self.url(&task).unwrap_or_default();
        let answer = (json, status, headers);
        let next = pages::next(
            read.pages.as_ref(),
            &url,
            &entry.hosts,
            task.page,
            items.len(),
            answer,
        );
        match next {
            Next::End if task.items > self.bounds.items => {
                self.nothing(&task, Reason::Truncated, outcomes);
            }
            Next::End => self.tallied(&task, None, outcomes),
            Next::Lost => self.nothing(&task, Reason::Truncated, outcomes),
            _ if task.page + 1 >= self.bounds.pages || task.items >= self.bounds.items => {
                self.nothing(&task, Reason::Truncated, outcomes);
            }
            Next::Url(next) => {
                (task.url, task.page, task.tries) = (Some(next), task.page + 1, 0);
                self.position.tasks.push_front(task);
            }
            Next::Range(range) => {
                let again = task.range.as_ref() == Some(&range);
                (task.range, task.page, task.tries) = (Some(range), task.page + 1, 0);
                if again {
                    return self.nothing(&task, Reason::Truncated, outcomes);
                }
                self.position.tasks.push_front(task);
            }
        }
    }

    /// The reads that are asked for each item.
    fn children(&mut self, task: &Task, item: &Value, now: i64, outcomes: &mut Vec<Outcome>) {
        let entry = self.entry;
        for (name, read) in &entry.reads {
            let Some(each) = read.for_each.as_ref().filter(|each| each.read == task.read) else {
                continue;
            };
            let wanted = each
                .filter
                .as_ref()
                .map_or(Truth::True, |filter| evaluate(filter, item, now));
            if wanted == Truth::False {
                continue;
            }
            let mut child = Task::new(name, task.bound.clone());
            let mut known = wanted == Truth::True;
            for (name, at) in &each.bind {
                match judge::scalar(item, at) {
                    Some(value) => drop(child.bound.insert(name.clone(), value)),
                    None => known = false,
                }
            }
            if !known {
                self.nothing(&child, Reason::Absent, outcomes);
            } else if self.position.tasks.len() >= self.bounds.tasks {
                self.nothing(&child, Reason::Truncated, outcomes);
            } else {
                self.position.tasks.push_back(child);
            }
        }
    }

    fn gate(&mut self, task: &Task, json: &Value, now: i64, outcomes: &mut Vec<Outcome>) {
        let gate = self
            .entry
            .gate
            .as_ref()
            .filter(|gate| gate.read == task.read);
        if gate.is_some_and(|gate| evaluate(&gate.closed, json, now) == Truth::True) {
            while let Some(task) = self.position.tasks.pop_front() {
                self.nothing(&task, Reason::Paused, outcomes);
            }
        }
    }

    /// Nothing, or nothing more, is known of this read: its checks and those of the reads below it.
    fn nothing(&mut self, task: &Task, reason: Reason, outcomes: &mut Vec<Outcome>) {
        let entry = self.entry;
        let mut names = vec![task.read.clone()];
        while let Some(name) = names.pop() {
            let Some(read) = entry.reads.get(&name) else {
                continue;
            };
            for check in entry.checks_of(&name) {
                self.position
                    .incomplete
                    .entry(check.id.clone())
                    .or_insert(reason);
                // A list of which a part was read has its results; the rest is incomplete.
                if name != task.read || check.over != Over::Listing {
                    outcomes.push(judge::without(
                        entry,
                        check,
                        &task.bound,
                        reason,
                        &read.scope,
                    ));
                }
            }
            let below = entry
                .reads
                .iter()
                .filter(|(_, read)| read.for_each.as_ref().is_some_and(|each| each.read == name));
            names.extend(below.map(|(name, _)| name.clone()));
        }
        if let Some(read) = entry.reads.get(&task.read) {
            self.tallied(task, Some((reason, &read.scope)), outcomes);
        }
    }

    /// The checks that count, when no page follows.
    fn tallied(
        &mut self,
        task: &Task,
        cut: Option<(Reason, &[String])>,
        outcomes: &mut Vec<Outcome>,
    ) {
        let entry = self.entry;
        let counted = |check: &&Check| check.over == Over::Listing;
        for check in entry.checks_of(&task.read).filter(counted) {
            let tally = task.tallies.get(&check.id).copied().unwrap_or_default();
            outcomes.push(match cut {
                Some((reason, needs)) if task.items == 0 => {
                    judge::without(entry, check, &task.bound, reason, needs)
                }
                _ => tally.outcome(entry, check, &task.bound, cut.map(|(reason, _)| reason)),
            });
        }
    }

    /// The read whose request is made.
    fn asked(&self, task: &Task) -> &'a Read {
        &self.entry.reads[task.via.as_ref().unwrap_or(&task.read)]
    }

    fn url(&self, task: &Task) -> Option<String> {
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
}

impl Task {
    fn new(read: &str, bound: Bound) -> Self {
        Self {
            read: read.to_owned(),
            via: None,
            bound,
            url: None,
            range: None,
            page: 0,
            items: 0,
            tries: 0,
            tallies: BTreeMap::new(),
        }
    }
}
