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

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

pub use answer::{Answer, Request};
pub use condition::{Condition, Quantity, Test};
pub use entry::{
    Alternative, Check, Count, Entry, ForEach, Gate, Meaning, Method, Over, Pages, Read,
    Remediation, Resource, Special, Stability, State,
};
pub use evaluate::{Truth, evaluate};
pub use export::{Export, Format, Row};
pub use outcome::{Outcome, Reason, ResourceId, Status, hex};
pub use report::{Coverage, Report};
pub use run::{Run, Step};
pub use severity::{Severity, SeverityMap, SeverityOf};
pub use state::{Bounds, Position};

/// The entries, as the build checked them.
const ENTRIES: &str = include_str!(concat!(env!("OUT_DIR"), "/entries.json"));

/// Every entry, by type.
pub fn entries() -> &'static [Entry] {
    static ENTRIES_READ: LazyLock<Vec<Entry>> =
        LazyLock::new(|| serde_json::from_str(ENTRIES).expect("the build has read the same text"));
    &ENTRIES_READ
}

/// The entry of a type.
pub fn entry(kind: &str) -> Option<&'static Entry> {
    entries().iter().find(|entry| entry.kind == kind)
}

/// Reads an entry that is not compiled in, as the build reads one.
///
/// # Errors
///
/// What is wrong with it, naming the read or the check.
pub fn parse(text: &str) -> Result<Entry, String> {
    rules::parse(text, sealed::is_sensitive)
}

/// SHA-256 of all entries, in hex: two scans with the same value were judged by the same checks.
pub fn catalogue_hash() -> &'static str {
    static HASH: LazyLock<String> =
        LazyLock::new(|| outcome::hex(&Sha256::digest(ENTRIES.as_bytes())));
    &HASH
}
