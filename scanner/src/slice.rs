//! A slice of a run, as a state machine without I/O. It decides the next step, bounds the requests and the memory of one claim, and decides
//! when the position must be saved.

use crate::db::CheckedBy;
use checks::{Answer, Bounds, Entry, Outcome, Position, Reason, Request, Run};
use std::collections::BTreeMap;

const REQUESTS: u32 = 900;
/// How long a slice starts requests, in seconds.
const SECONDS: i64 = 40;
/// How many results are kept in memory. More are saved at once.
const RESULTS: usize = 1_000;
/// How large these may be, in bytes.
const BYTES: usize = 512 * 1024;
/// The position is saved at least this often, in seconds, so that few requests are repeated.
const SAVE_EVERY: i64 = 15;

#[derive(Debug)]
pub enum Step {
    /// Send this request, and give its answer to [`Slice::take`].
    Ask(Request),
    Save(Save),
    /// Save this, and release the run until then, in Unix seconds.
    LetGo(Save, i64),
    Finish(Finish),
}

#[derive(Debug)]
pub struct Save {
    /// JSON text.
    pub position: String,
    pub results: Vec<Outcome>,
    pub requests: u32,
}

#[derive(Debug)]
pub struct Finish {
    /// Not saved yet.
    pub results: Vec<Outcome>,
    pub requests: u32,
    /// Why it ended before its end.
    pub reason: Option<String>,
}

pub struct Slice<'a> {
    entry: &'a Entry,
    run: Run<'a>,
    begun: i64,
    saved_at: i64,
    /// The position that the database has, or may have. Results are saved with it until only those of the present position are left.
    position: String,
    pending: Vec<Outcome>,
    bytes: usize,
    /// Not saved yet.
    requests: u32,
    asked: u32,
}

impl<'a> Slice<'a> {
    /// Continues from a position. Starts anew without one, or if another catalogue of checks has saved it.
    pub fn new(
        entry: &'a Entry,
        settings: BTreeMap<String, String>,
        granted: Option<Vec<String>>,
        position: Option<&str>,
        now: i64,
    ) -> Self {
        let bounds = Bounds::default();
        let resumed = position
            .and_then(|text| serde_json::from_str::<Position>(text).ok())
            .and_then(|at| Run::resume(entry, settings.clone(), granted.clone(), bounds, at));
        let is_new = resumed.is_none();
        let mut slice = Self {
            entry,
            run: resumed.unwrap_or_else(|| Run::new(entry, settings, granted, bounds)),
            begun: now,
            saved_at: now,
            position: String::new(),
            pending: Vec::new(),
            bytes: 0,
            requests: 0,
            asked: 0,
        };
        if is_new {
            let settled = slice.run.start();
            slice.keep(settled);
        }
        slice.position = slice.now_at();
        slice
    }

    /// The caller performs the step before the next call.
    pub fn next(&mut self, now: i64) -> Step {
        if self.pending.len() > RESULTS || self.bytes > BYTES {
            return Step::Save(self.save(now));
        }
        match self.run.next(now) {
            checks::Step::Done => Step::Finish(self.finish()),
            checks::Step::Wait(until) => Step::LetGo(self.save(now), until),
            checks::Step::Ask(_) if self.is_over(now) => Step::LetGo(self.save(now), now),
            checks::Step::Ask(_) if now - self.saved_at >= SAVE_EVERY => Step::Save(self.save(now)),
            checks::Step::Ask(request) => Step::Ask(request),
        }
    }

    pub fn take(&mut self, answer: Answer, now: i64) {
        self.requests += 1;
        self.asked += 1;
        let outcomes = self.run.take(answer, now);
        self.keep(outcomes);
    }

    /// After a request, the credential at hand is the one that the provider rejected.
    pub fn has_asked(&self) -> bool {
        self.asked > 0
    }

    /// Whether the run is released because of the provider's rate limit.
    pub fn is_limited(&self) -> bool {
        self.run.is_limited()
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn let_go(&mut self, now: i64) -> Save {
        self.save(now)
    }

    /// Ends the scan because the database stores no more results of it.
    pub fn fill(&mut self) {
        self.run.end(Reason::Truncated, &mut Vec::new());
        self.pending.clear();
        self.bytes = 0;
    }

    /// Every check, and how much of the account it covered.
    pub fn checks(&self) -> Vec<CheckedBy<'a>> {
        let incomplete = self.run.incomplete();
        checks_of(self.entry, |id| incomplete.get(id).map(word))
    }

    fn is_over(&self, now: i64) -> bool {
        self.asked >= REQUESTS || now - self.begun >= SECONDS
    }

    fn keep(&mut self, outcomes: Vec<Outcome>) {
        self.bytes += outcomes.iter().map(size).sum::<usize>();
        self.pending.extend(outcomes);
    }

    fn now_at(&self) -> String {
        // Ids, names and numbers: serializing them cannot fail.
        serde_json::to_string(self.run.position()).unwrap_or_default()
    }

    /// Takes as many results as one call may hold. The position is saved with the last of them. Saved earlier, it would skip results that are not stored.
    fn save(&mut self, now: i64) -> Save {
        let mut bytes = 0;
        let fits = |outcome: &&Outcome| {
            bytes += size(outcome);
            bytes <= BYTES
        };
        let count = self.pending.iter().take(RESULTS).take_while(fits).count();
        let results: Vec<_> = self
            .pending
            .drain(..count.max(1).min(self.pending.len()))
            .collect();
        self.bytes = self.pending.iter().map(size).sum();
        let mut requests = 0;
        if self.pending.is_empty() {
            self.position = self.now_at();
            self.saved_at = now;
            requests = std::mem::take(&mut self.requests);
        }
        Save {
            position: self.position.clone(),
            results,
            requests,
        }
    }

    fn finish(&mut self) -> Finish {
        Finish {
            results: std::mem::take(&mut self.pending),
            requests: std::mem::take(&mut self.requests),
            reason: self.run.ended().as_ref().map(word),
        }
    }
}

/// Every check of an entry, and why a part of the account was not checked.
pub fn checks_of(entry: &Entry, incomplete: impl Fn(&str) -> Option<String>) -> Vec<CheckedBy<'_>> {
    let checks = entry.checks.iter().map(|check| CheckedBy {
        check_id: &check.id,
        check_version: check.version,
        incomplete: incomplete(&check.id),
        was: &check.was,
        clock: check.depends_on_time(),
    });
    checks.collect()
}

fn word(reason: &Reason) -> String {
    let value = serde_json::to_value(reason).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// About the length of its JSON, in bytes.
fn size(outcome: &Outcome) -> usize {
    let evidence = outcome.evidence.iter();
    let evidence = evidence
        .map(|(name, value)| name.len() + 8 + value.as_str().map_or(24, |text| 2 * text.len()));
    let texts = [
        &outcome.check_id,
        &outcome.resource.kind,
        &outcome.resource.id,
        &outcome.item,
    ];
    let name = outcome.resource_name.as_ref().map_or(0, String::len);
    200 + texts.map(String::len).iter().sum::<usize>() + name + evidence.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use checks::{ResourceId, Severity, Status};

    const NOW: i64 = 1_795_780_800;

    fn slice(position: Option<&str>, now: i64) -> Slice<'static> {
        let settings = [("project_id".to_owned(), "abcdefghijklmnopqrst".to_owned())];
        let entry = checks::entry("supabase").unwrap();
        Slice::new(entry, settings.into(), None, position, now)
    }

    fn forbidden() -> Answer {
        Answer::Http {
            status: 403,
            headers: BTreeMap::new(),
            body: b"{}".to_vec(),
        }
    }

    /// Runs the slice to its end. Returns what it saved, and its last step.
    fn driven(
        slice: &mut Slice<'_>,
        mut answer: impl FnMut(&Request) -> Answer,
    ) -> (Vec<Save>, Step) {
        let mut saves = Vec::new();
        loop {
            match slice.next(NOW) {
                Step::Ask(request) => slice.take(answer(&request), NOW),
                Step::Save(save) => saves.push(save),
                last => return (saves, last),
            }
        }
    }

    fn ids(outcomes: &[Outcome]) -> Vec<(String, String)> {
        let ids = outcomes
            .iter()
            .map(|one| (one.check_id.clone(), one.resource.id.clone()));
        ids.collect()
    }

    fn outcome(id: usize, text: &str) -> Outcome {
        Outcome {
            check_id: "c".to_owned(),
            check_version: 1,
            resource: ResourceId {
                kind: "r".to_owned(),
                id: id.to_string(),
            },
            resource_name: Some(text.to_owned()),
            item: String::new(),
            status: Status::Fail,
            reason: None,
            needs: Vec::new(),
            severity: Severity::High,
            evidence: BTreeMap::new(),
        }
    }

    #[test]
    fn a_run_that_sees_nothing_finishes_with_every_check_and_no_pass() {
        let mut slice = slice(None, NOW);
        let (saves, last) = driven(&mut slice, |_| forbidden());
        let Step::Finish(finish) = last else {
            panic!("{last:?}")
        };
        assert!(saves.is_empty() && finish.requests > 5 && finish.reason.is_none());
        assert!(finish.results.iter().all(|one| one.status != Status::Pass));
        let checks = slice.checks();
        assert_eq!(
            checks.len(),
            checks::entry("supabase").unwrap().checks.len()
        );
        let seen: std::collections::BTreeSet<_> =
            finish.results.iter().map(|one| &*one.check_id).collect();
        assert!(
            checks
                .iter()
                .all(|check| check.incomplete.is_some() || seen.contains(check.check_id))
        );
    }

    #[test]
    fn what_a_provider_asks_to_wait_for_is_kept_and_goes_on_elsewhere_without_a_loss() {
        let whole = {
            let mut slice = slice(None, NOW);
            match driven(&mut slice, |_| forbidden()) {
                (_, Step::Finish(finish)) => ids(&finish.results),
                (_, last) => panic!("{last:?}"),
            }
        };
        // Released after each request, so that each slice is another scanner's.
        let mut position: Option<String> = None;
        let mut results = Vec::new();
        let mut now = NOW;
        loop {
            let mut slice = slice(position.as_deref(), now);
            let mut first = true;
            let step = loop {
                match slice.next(now) {
                    Step::Ask(_) if first => {
                        first = false;
                        slice.take(forbidden(), now);
                        now += SECONDS;
                    }
                    step => break step,
                }
            };
            match step {
                Step::LetGo(save, until) => {
                    assert_eq!((save.requests, until), (1, now));
                    results.extend(save.results);
                    position = Some(save.position);
                }
                Step::Finish(finish) => {
                    results.extend(finish.results);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ids(&results), whole);
    }

    #[test]
    fn a_retry_after_lets_the_run_go_until_then() {
        let mut slice = slice(None, NOW);
        let (_, last) = driven(&mut slice, |_| Answer::Http {
            status: 429,
            headers: [("retry-after".to_owned(), "77".to_owned())].into(),
            body: Vec::new(),
        });
        assert!(
            matches!(last, Step::LetGo(Save { requests: 1, .. }, until) if until == NOW + 77),
            "{last:?}"
        );
    }

    #[test]
    fn the_position_moves_with_the_last_of_the_results_and_the_requests_count_with_it() {
        let mut slice = slice(None, NOW);
        let before = slice.position.clone();
        let Step::Ask(_) = slice.next(NOW) else {
            panic!()
        };
        slice.take(forbidden(), NOW);
        slice.keep((0..2 * RESULTS + 1).map(|id| outcome(id, "n")).collect());
        let kept = ids(&slice.pending);
        let mut saved = Vec::new();
        while let Step::Save(save) = slice.next(NOW) {
            assert!(save.results.len() <= RESULTS);
            let is_last = !slice.has_pending();
            assert_eq!(save.position != before, is_last);
            assert_eq!(save.requests, u32::from(is_last));
            saved.extend(ids(&save.results));
        }
        saved.extend(ids(&slice.pending));
        assert_eq!(saved, kept);
    }

    #[test]
    fn a_save_is_bounded_in_bytes_and_takes_at_least_one() {
        let mut slice = slice(None, NOW);
        let large = "x".repeat(BYTES / 2);
        slice.pending.clear();
        slice.bytes = 0;
        slice.keep((0..5).map(|id| outcome(id, &large)).collect());
        let mut counts = Vec::new();
        while let Step::Save(save) = slice.next(NOW) {
            counts.push(save.results.len());
        }
        assert_eq!(counts, [1, 1, 1, 1]);
        assert_eq!(slice.pending.len(), 1);
    }

    #[test]
    fn a_slice_is_over_after_its_requests_or_its_time() {
        let mut slice = slice(None, NOW);
        slice.asked = REQUESTS;
        assert!(matches!(slice.next(NOW), Step::LetGo(_, NOW)));
        let mut slice = super::tests::slice(None, NOW);
        assert!(matches!(slice.next(NOW + SAVE_EVERY), Step::Save(_)));
        assert!(matches!(slice.next(NOW + SAVE_EVERY), Step::Ask(_)));
        assert!(matches!(slice.next(NOW + SECONDS), Step::LetGo(..)));
    }

    #[test]
    fn a_full_database_ends_the_scan_as_cut() {
        let mut slice = slice(None, NOW);
        slice.fill();
        let Step::Finish(finish) = slice.next(NOW) else {
            panic!()
        };
        assert_eq!(finish.reason.as_deref(), Some("truncated"));
        assert!(finish.results.is_empty());
        let complete = slice
            .checks()
            .into_iter()
            .filter(|check| check.incomplete.is_none())
            .count();
        let entry = checks::entry("supabase").unwrap();
        assert_eq!(
            complete,
            entry
                .checks
                .iter()
                .filter(|check| check.read.is_none())
                .count()
        );
    }

    #[test]
    fn a_position_of_other_checks_or_no_position_begins_anew() {
        let begun = slice(None, NOW).position.clone();
        let other = begun.replace(checks::catalogue_hash(), "another");
        for position in [other.as_str(), "{}", "planted", ""] {
            assert_eq!(slice(Some(position), NOW).position, begun);
        }
    }
}
