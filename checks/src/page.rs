//! Processes one JSON answer: evaluates the checks, queues the reads that follow, and finds the next page.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::entry::{Entry, Over};
use crate::evaluate::{Truth, evaluate};
use crate::judge;
use crate::lookup::Part;
use crate::outcome::{Outcome, Reason};
use crate::pages::{self, Next};
use crate::state::{State, Task};
use crate::unseen::{over, tell, unseen, unseen_with_followers};

/// An answer of JSON, with what may lead to the next page.
pub(crate) struct Page<'a> {
    pub(crate) json: &'a Value,
    pub(crate) status: u16,
    pub(crate) headers: &'a BTreeMap<String, String>,
    /// Unix seconds.
    pub(crate) now: i64,
}

/// What becomes of the task.
pub(crate) enum After {
    /// It has another page.
    Again(Task),
    /// All is said.
    Over(Task),
}

/// Judges a page.
pub(crate) fn take(
    state: &mut State,
    mut task: Task,
    page: &Page,
    outcomes: &mut Vec<Outcome>,
) -> After {
    let Some(at) = &state.asked(&task).items else {
        if !page.json.is_object() && !page.json.is_array() {
            return lost(state, task, Reason::BadAnswer, outcomes);
        }
        item(state, &mut task, page.json, page.now, outcomes);
        over(state, &task, outcomes);
        gate(state, &task, page, outcomes);
        return After::Over(task);
    };
    let Some(Value::Array(items)) = page.json.pointer(at) else {
        return lost(state, task, Reason::BadAnswer, outcomes);
    };
    for value in items {
        item(state, &mut task, value, page.now, outcomes);
    }
    task.items += items.len();
    next(state, task, items.len(), page, outcomes)
}

fn lost(state: &mut State, task: Task, reason: Reason, outcomes: &mut Vec<Outcome>) -> After {
    unseen(state, &task, reason, outcomes);
    After::Over(task)
}

/// One item of a list, or an answer that is one thing.
fn item(state: &mut State, task: &mut Task, value: &Value, now: i64, outcomes: &mut Vec<Outcome>) {
    let entry = state.entry;
    for part in entry.parts(&task.read) {
        let tally = task.tallies.entry(part.check.id.clone()).or_default();
        if part.over == Over::Listing {
            tally.count(&part, value, now);
            continue;
        }
        if part.over == Over::Each && is_superseded(state, &part, value) {
            continue;
        }
        tally.told += 1;
        let outcome = judge::judge(entry, &part, &task.bound, value, now);
        tell(state, &part, outcome, outcomes);
    }
    ask_below(state, task, value, now, outcomes);
}

/// Whether another check has judged what this finding of the provider says. If it could not look, the finding stays.
fn is_superseded(state: &State, part: &Part, value: &Value) -> bool {
    let Some(item) = part
        .check
        .item
        .as_ref()
        .and_then(|at| judge::scalar(value, at))
    else {
        return false;
    };
    let name = format!("{}:{item}", part.check.id);
    let checks = state.entry.checks.iter();
    checks
        .filter(|check| check.supersedes.contains(&name))
        .any(|check| state.position.seen.contains(&check.id))
}

/// Plans the reads that are asked for each item.
fn ask_below(
    state: &mut State,
    task: &mut Task,
    value: &Value,
    now: i64,
    outcomes: &mut Vec<Outcome>,
) {
    let entry = state.entry;
    let mut bound = task.bound.clone();
    let mut reads = Vec::new();
    let mut unbound = Vec::new();
    for name in entry.children(&task.read) {
        let Some(each) = &entry.reads[name].for_each else {
            continue;
        };
        let filter = each.filter.as_ref();
        let wanted = filter.map_or(Truth::True, |filter| evaluate(filter, value, now));
        if wanted == Truth::False {
            continue;
        }
        task.asked.insert(name.to_owned());
        let mut known = wanted == Truth::True;
        for (name, at) in &each.bind {
            match judge::scalar(value, at) {
                Some(value) => drop(bound.insert(name.clone(), value)),
                None => known = false,
            }
        }
        let list = if known { &mut reads } else { &mut unbound };
        list.push(name.to_owned());
    }
    if let Some(child) = Task::new(unbound, bound.clone()) {
        unseen_with_followers(state, &child, Reason::Absent, outcomes);
    }
    if let Some(child) = Task::new(reads, bound) {
        if state.position.tasks.len() >= state.bounds.tasks {
            unseen_with_followers(state, &child, Reason::Truncated, outcomes);
        } else {
            state.position.tasks.push_back(child);
        }
    }
}

/// Goes to the page after one with this many items, or ends the list.
fn next(
    state: &mut State,
    mut task: Task,
    items: usize,
    page: &Page,
    outcomes: &mut Vec<Outcome>,
) -> After {
    let read = state.asked(&task);
    let url = state.url(&task).unwrap_or_default();
    let answer = (page.json, page.status, page.headers);
    let Entry { hosts, .. } = state.entry;
    let next = pages::next(read.pages.as_ref(), &url, hosts, task.page, items, answer);
    let bounds = state.bounds;
    let is_full = task.page + 1 >= bounds.pages || task.items >= bounds.items;
    match next {
        Next::End if task.items <= bounds.items => {
            over(state, &task, outcomes);
            return After::Over(task);
        }
        Next::Url(next) if !is_full => task.url = Some(next),
        Next::Range(range) if !is_full && task.range.as_ref() != Some(&range) => {
            task.range = Some(range);
        }
        Next::End | Next::Lost | Next::Url(_) | Next::Range(_) => {
            return lost(state, task, Reason::Truncated, outcomes);
        }
    }
    (task.page, task.tries) = (task.page + 1, 0);
    After::Again(task)
}

/// Ends the scan where an answer makes everything else inapplicable.
fn gate(state: &mut State, task: &Task, page: &Page, outcomes: &mut Vec<Outcome>) {
    let gate = state.entry.gate.as_ref();
    let gate = gate.filter(|gate| gate.read == task.read);
    if gate.is_some_and(|gate| evaluate(&gate.closed, page.json, page.now) == Truth::True) {
        while let Some(task) = state.position.tasks.pop_front() {
            unseen_with_followers(state, &task, Reason::Paused, outcomes);
        }
    }
}
