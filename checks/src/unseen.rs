//! The outcomes of reads that could not be made, and of lists that have ended.

use crate::entry::Over;
use crate::judge;
use crate::lookup::Part;
use crate::outcome::{Outcome, Reason, Status};
use crate::state::{State, Task};

/// Adds an outcome. That of a check over two reads waits until the other read has been asked, too.
pub(crate) fn tell(
    state: &mut State,
    part: &Part,
    outcome: Outcome,
    outcomes: &mut Vec<Outcome>,
) -> Option<Reason> {
    let check = part.check;
    if !check.supersedes.is_empty() && matches!(outcome.status, Status::Pass | Status::Fail) {
        state.position.seen.insert(check.id.clone());
    }
    if check.alternative.is_none() {
        let reason = outcome.reason;
        outcomes.push(outcome);
        return reason;
    }
    let resource = &outcome.resource;
    let key = format!("{} {} {}", check.id, resource.kind, resource.id);
    match state.position.halves.remove(&key) {
        None => {
            state.position.halves.insert(key, outcome);
            None
        }
        Some(half) => {
            let whole = judge::either(half, outcome);
            let reason = whole.reason;
            outcomes.push(whole);
            reason
        }
    }
}

/// Says that nothing, or nothing more, is known of a task's read and of the reads below it.
pub(crate) fn unseen(state: &mut State, task: &Task, reason: Reason, outcomes: &mut Vec<Outcome>) {
    let entry = state.entry;
    let needs = &entry.reads[&task.read].scope;
    for part in entry.parts(&task.read) {
        let tally = task.tallies.get(&part.check.id).copied();
        let outcome = match part.over {
            Over::Listing if task.items > 0 => {
                let tally = tally.unwrap_or_default();
                tally.outcome(entry, &part, &task.bound, Some(reason))
            }
            _ => judge::without(entry, part.check, &task.bound, reason, needs),
        };
        cut(state, &part, outcome, reason, outcomes);
    }
    for name in entry.below(&task.read) {
        for part in entry.parts(name) {
            let needs = &entry.reads[name].scope;
            let outcome = judge::without(entry, part.check, &task.bound, reason, needs);
            cut(state, &part, outcome, reason, outcomes);
        }
    }
}

/// The same for a task and all that waits behind it.
pub(crate) fn unseen_with_followers(
    state: &mut State,
    task: &Task,
    reason: Reason,
    outcomes: &mut Vec<Outcome>,
) {
    unseen(state, task, reason, outcomes);
    for read in &task.then {
        let follower = Task {
            read: read.clone(),
            bound: task.bound.clone(),
            ..Task::default()
        };
        unseen(state, &follower, reason, outcomes);
    }
}

fn cut(
    state: &mut State,
    part: &Part,
    outcome: Outcome,
    reason: Reason,
    outcomes: &mut Vec<Outcome>,
) {
    let told = tell(state, part, outcome, outcomes);
    // A half that waits, or that the other read made up for, leaves nothing open.
    if part.check.alternative.is_some() && told.is_none() {
        return;
    }
    let incomplete = &mut state.position.incomplete;
    let known = incomplete.entry(part.check.id.clone()).or_insert(reason);
    // What is not in the plan is no gap in what was seen; what could not be seen is.
    if known.is_inapplicable() {
        *known = reason;
    }
}

/// Says what a list that was read to its end, or an answer, says by itself: counts, and that there is nothing to judge.
pub(crate) fn over(state: &mut State, task: &Task, outcomes: &mut Vec<Outcome>) {
    let entry = state.entry;
    for part in entry.parts(&task.read) {
        let tally = task.tallies.get(&part.check.id).copied();
        let tally = tally.unwrap_or_default();
        let outcome = match part.over {
            Over::Listing => tally.outcome(entry, &part, &task.bound, None),
            Over::Items if tally.told == 0 => {
                judge::without(entry, part.check, &task.bound, Reason::Empty, &[])
            }
            // The provider was asked for its findings, and has none.
            Over::Each if tally.told == 0 => judge::passed(entry, part.check, &task.bound),
            _ => continue,
        };
        tell(state, &part, outcome, outcomes);
    }
    for child in entry.children(&task.read) {
        if task.asked.contains(child) {
            continue;
        }
        for name in std::iter::once(child).chain(entry.below(child)) {
            for part in entry.parts(name) {
                let outcome = judge::without(entry, part.check, &task.bound, Reason::Empty, &[]);
                tell(state, &part, outcome, outcomes);
            }
        }
    }
}
