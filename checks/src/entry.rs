//! The shape of an entry: what is read at one provider, and which checks judge the answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::Condition;
use crate::severity::SeverityOf;
use crate::unique;

/// A provider's reads and checks: one file of `checks/entries/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The integration's type, as in the worker's catalogue; the file bears its name.
    #[serde(rename = "type")]
    pub kind: String,
    /// The provider's name, for people.
    pub name: String,
    /// Where the provider documents its API.
    pub docs: String,
    /// What a reader of the checks should know.
    pub note: Option<String>,
    /// The hosts that are asked; `*.example.com` is every host below it.
    pub hosts: Vec<String>,
    /// The fields of a stored config that URLs name in braces.
    pub settings: Vec<String>,
    /// The provider's id of the account, with placeholders.
    pub account: String,
    /// Sent with every request, beside the credential.
    #[serde(default, deserialize_with = "unique::map")]
    pub headers: BTreeMap<String, String>,
    /// Whose the limit is that a 429 speaks of. None: the provider does not say.
    pub rate_limit: Option<RateLimit>,
    /// Answers that mean something else than their status says, at every read.
    #[serde(default)]
    pub answers: Vec<Special>,
    /// When an answer makes every other check inapplicable.
    pub gate: Option<Gate>,
    /// What is asked, by name.
    #[serde(deserialize_with = "unique::map")]
    pub reads: BTreeMap<String, Read>,
    /// What is judged.
    pub checks: Vec<Check>,
}

/// Whose requests a provider counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateLimit {
    /// Those of all accounts that one OAuth app is connected to.
    App,
    /// Those of one user, token or account.
    User,
}

impl Entry {
    /// How many organizations must be limited before the pause covers every integration of the type. None: it never does. One is not
    /// enough, because a customer's own use counts too.
    pub fn pauses_after(&self) -> Option<u32> {
        match self.rate_limit {
            Some(RateLimit::App) => Some(2),
            Some(RateLimit::User) => None,
            None => Some(3),
        }
    }
}

/// One request, and the pages that follow it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// `https`, a host of the entry, placeholders in braces.
    pub url: String,
    /// GET if it is not said.
    #[serde(default)]
    pub method: Method,
    /// The fixed JSON body of a POST.
    pub body: Option<Value>,
    /// The scopes that the provider wants for it, all of them.
    #[serde(default)]
    pub scope: Vec<String>,
    /// Where the list is in the answer: a JSON Pointer, empty for the answer itself. Without it the answer is one thing.
    pub items: Option<String>,
    /// How the next page of a list is found; without it the first answer is the whole list.
    pub pages: Option<Pages>,
    /// Asked once for each item, or for the answer, of another read.
    pub for_each: Option<ForEach>,
    /// Answers that mean something else than their status says, at this read.
    #[serde(default)]
    pub answers: Vec<Special>,
    /// The read that is asked in its stead where it is gone or forbidden. Its answers have the same shape below `items`.
    pub fallback: Option<String>,
    /// What was read of the answer's shape: a schema, or a recorded answer. A `verified` check needs it.
    pub source: Option<String>,
    /// What the provider says of how long it stays.
    pub stability: Option<Stability>,
}

/// An HTTP method that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// POST with a fixed body, for queries.
    Post,
}

/// How long a provider promises to keep a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stability {
    /// It may change.
    Experimental,
    /// It will go.
    Deprecated,
}

/// How the next page is found. A list whose end is not said is truncated, never complete.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by", deny_unknown_fields)]
pub enum Pages {
    /// The `Link` header's `rel="next"`; the last page has none.
    Link,
    /// A cursor in the answer, null at the end, for a parameter of the same URL.
    Cursor {
        /// Where it is: a JSON Pointer.
        at: String,
        /// The parameter.
        param: String,
    },
    /// A number that counts the pages. An empty page is the last: a short one may be followed by another.
    Page {
        /// The parameter.
        param: String,
        /// The number of the first page.
        first: u32,
    },
    /// Heroku's `Next-Range` header, sent back as `Range`; the last page is answered with 200.
    Range,
}

/// The read whose items a read is asked for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForEach {
    /// Its name.
    pub read: String,
    /// Placeholders, and where their values are in the item.
    #[serde(rename = "let", deserialize_with = "unique::map")]
    pub bind: BTreeMap<String, String>,
    /// Which of several placeholders is the provider's id of the item.
    pub id: Option<String>,
    /// Which items; all if it is not said.
    #[serde(rename = "where")]
    pub filter: Option<Condition>,
}

/// An answer that means something else than its status says. It matches by status and, with `at`, by a value of the body.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Special {
    /// The HTTP status.
    pub status: u16,
    /// A condition on the body; a body that is no JSON does not match.
    pub when: Option<Condition>,
    /// What it means.
    pub means: Option<Meaning>,
    /// The JSON that it stands for.
    #[serde(rename = "as")]
    pub stands_for: Option<Value>,
}

/// What a special answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// The account's plan does not have it: not applicable.
    Plan,
    /// The feature is off or does not exist here: not applicable.
    Off,
    /// The credential may not: unknown.
    Forbidden,
    /// Hidden or unavailable: unknown.
    Hidden,
}

/// When an answer makes every other check inapplicable: a project that is paused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The read, asked before all others.
    pub read: String,
    /// Closed if it is true. Unknown is open.
    pub closed: Condition,
}

/// What is judged about the answers of a read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// `<type>_<words>`; never used for another check.
    pub id: String,
    /// Goes up when the same answer is judged differently.
    pub version: u32,
    /// What is known of its correctness.
    pub state: State,
    /// Its former ids.
    #[serde(default)]
    pub was: Vec<String>,
    /// Whose answers; without it a person must look, and the result is `manual`.
    pub read: Option<String>,
    /// What of the answer.
    #[serde(default)]
    pub over: Over,
    /// What it applies to; else the result is `not_applicable`.
    #[serde(rename = "where")]
    pub filter: Option<Condition>,
    /// When an item says itself that the provider could not look.
    pub unknown: Option<Condition>,
    /// The condition for a pass; not with `over: each`.
    pub pass: Option<Condition>,
    /// Another read that may say the same: the check passes if either does, and fails if both do.
    #[serde(rename = "or")]
    pub alternative: Option<Alternative>,
    /// With `over: listing`, the least and most items for which `pass` may hold.
    pub count: Option<Count>,
    /// What the result is about.
    pub resource: Resource,
    /// What tells several findings of one resource apart: a pointer in the item.
    pub item: Option<String>,
    /// How bad a failure is.
    pub severity: SeverityOf,
    /// What holds if it passes, in one sentence.
    pub title: String,
    /// What happens otherwise.
    pub why: String,
    /// Where the numbers of its conditions come from: a standard, or the provider's own default.
    pub basis: Option<String>,
    /// How it is put right.
    pub remediation: Remediation,
    /// Pointers to the scalars that are kept.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// The controls of standards, by standard.
    #[serde(default, deserialize_with = "unique::map")]
    pub maps: BTreeMap<String, Vec<String>>,
    /// `check:item` of an `over: each` check that says the same; those items are left out there.
    #[serde(default)]
    pub supersedes: Vec<String>,
}

/// The other read of a check over two: a list, of which some items meet `pass`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// Its name. It is asked for the same items as the check's own read.
    pub read: String,
    /// What is counted.
    pub pass: Condition,
    /// The least and most items for which `pass` may hold.
    pub count: Count,
}

/// What is known of a check's correctness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Written from the provider's documentation or general knowledge.
    Documented,
    /// Its fields were read in a schema or a recorded answer, which the read's `source` names. Never: tried.
    Verified,
}

/// What of an answer a check judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// The answer, as one resource.
    #[default]
    Answer,
    /// Each item of the list, a resource each.
    Items,
    /// The list read to its end, by counting.
    Listing,
    /// Each item is a finding of the provider's own.
    Each,
}

/// Bounds on how many items of a listing meet `pass`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// At least.
    pub at_least: Option<u64>,
    /// At most.
    pub at_most: Option<u64>,
}

/// The resource of a result. Each text is a pointer into the judged value if it starts with `/`, else a template.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its kind: `project`, `repository`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The provider's id, which does not change with a rename.
    pub id: String,
    /// For people only.
    pub name: Option<String>,
}

/// How a failure is put right.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remediation {
    /// What, where, what it breaks.
    pub text: String,
    /// The provider's page.
    pub url: Option<String>,
}
