//! Runs a scan from start to end, over HTTP or over recorded answers.

use std::collections::BTreeMap;

use checks::{Answer, Bounds, Coverage, Entry, Reason, Report, Request, Run, Step};

/// What a scan found.
pub struct Scanned {
    /// The provider's id of the account.
    pub account: String,
    pub report: Report,
    pub coverage: Vec<Coverage>,
    pub requests: u32,
    /// Unix seconds.
    pub time: i64,
    pub ended: Option<Reason>,
}

/// Whoever answers, and tells the time.
pub trait World {
    /// Makes a request.
    fn answer(&mut self, request: &Request) -> Answer;
    /// Unix seconds.
    fn now(&self) -> i64;
    /// Waits until a time in Unix seconds; false if that is too long.
    fn wait(&mut self, until: i64) -> bool;
}

/// Scans an account.
pub fn drive(
    entry: &Entry,
    settings: BTreeMap<String, String>,
    granted: Option<Vec<String>>,
    world: &mut impl World,
) -> Scanned {
    let account = account(entry, &settings);
    let mut run = Run::new(entry, settings, granted, Bounds::default());
    let mut report = Report::default();
    report.add(run.start());
    loop {
        match run.next(world.now()) {
            Step::Ask(request) => {
                let answer = world.answer(&request);
                report.add(run.take(answer, world.now()));
            }
            Step::Wait(until) if world.wait(until) => {}
            Step::Wait(_) => {
                let mut outcomes = Vec::new();
                run.end(Reason::Limited, &mut outcomes);
                report.add(outcomes);
            }
            Step::Done => break,
        }
    }
    Scanned {
        account,
        coverage: report.coverage(entry, &run),
        report,
        requests: run.requests(),
        time: world.now(),
        ended: run.ended(),
    }
}

fn account(entry: &Entry, settings: &BTreeMap<String, String>) -> String {
    let mut account = entry.account.clone();
    for (name, value) in settings {
        account = account.replace(&format!("{{{name}}}"), value);
    }
    account
}
