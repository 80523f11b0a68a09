//! Security checks of accounts at providers, and a scanner that never says "pass" about what it could not see.
//!
//! The checks are data: an [`Entry`] a provider, in a closed vocabulary over JSON Pointer, compiled in and checked by the build. A
//! [`Run`] yields requests as plain data and takes their answers; it has no IO, no clock and no randomness. Each result is a pass, a
//! fail, unknown with the reason and the missing scope, not applicable, or for a person to look at.
//!
//! ```
//! use checks::{Answer, Bounds, Reason, Report, Run, Status, Step};
//!
//! let entry = checks::entry("supabase").expect("an entry");
//! let settings = [("project_id".to_owned(), "abcdefghijklmnopqrst".to_owned())];
//! let mut run = Run::new(entry, settings.into(), None, Bounds::default());
//! let mut report = Report::default();
//! report.add(run.start());
//! let now = 1_795_780_800;
//! while let Step::Ask(request) = run.next(now) {
//!     assert!(request.url.starts_with("https://api.supabase.com/"));
//!     // The provider says no to everything.
//!     let answer = Answer::Http { status: 403, headers: Default::default(), body: b"{}".to_vec() };
//!     report.add(run.take(answer, now));
//! }
//! for check in report.coverage(entry, &run) {
//!     assert_ne!(check.status, Status::Pass);
//! }
//! assert!(report.outcomes().any(|outcome| outcome.reason == Some(Reason::Forbidden)));
//! ```

mod answer;
mod compare;
mod condition;
mod entries;
mod entry;
mod evaluate;
mod export;
mod judge;
mod lookup;
mod outcome;
mod page;
mod pages;
mod report;
mod rules;
mod run;
mod severity;
mod state;
mod template;
mod unique;
mod unseen;

pub use answer::{Answer, Request};
pub use condition::{Condition, Quantity, Test};
pub use entries::{catalogue_hash, entries, entry, parse, types};
pub use entry::{
    Alternative, Check, Count, Entry, ForEach, Gate, Meaning, Method, Over, Pages, RateLimit, Read,
    Remediation, Resource, Special, Stability, State,
};
pub use evaluate::{Truth, evaluate};
pub use export::{Export, Format, Row};
pub use outcome::{Outcome, Reason, ResourceId, Status, hex};
pub use report::{Coverage, Report};
pub use run::{Run, Step};
pub use severity::{Severity, SeverityMap, SeverityOf};
pub use state::{Bounds, Position};
