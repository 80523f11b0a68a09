//! A small entry and a provider of a few lines, for tests of the machine itself.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use checks::{Answer, Bounds, Coverage, Entry, Outcome, Position, Report, Request, Run, Step};
use serde_json::{Value, json};

pub const NOW: i64 = 1_795_780_800; // 2026-11-27

/// An answer, a list in pages, and a read and a list for each of its items.
pub fn entry() -> Value {
    json!({
        "type": "small", "name": "Small", "docs": "https://docs.test/", "hosts": ["api.test"],
        "settings": ["account_id"], "account": "{account_id}",
        "reads": {
            "account": { "url": "https://api.test/account", "scope": ["account:read"] },
            "repos": { "url": "https://api.test/repos", "items": "", "pages": { "by": "link" } },
            "repo": { "url": "https://api.test/repos/{repo}", "scope": ["admin"],
                "for_each": { "read": "repos", "let": { "repo": "/id" } } },
            "keys": { "url": "https://api.test/repos/{repo}/keys", "items": "",
                "for_each": { "read": "repos", "let": { "repo": "/id" } },
                "answers": [{ "status": 404, "when": { "at": "/message", "contains": "plan" }, "means": "plan" }] }
        },
        "checks": [
            check("small_mfa", json!({ "read": "account", "pass": { "at": "/mfa", "equals": true }, "evidence": ["/mfa", "/motto"],
                "resource": { "type": "account", "id": "/id", "name": "/motto" } })),
            check("small_private", json!({ "read": "repos", "over": "items", "pass": { "at": "/private", "equals": true },
                "resource": { "type": "repo", "id": "/id", "name": "/name" } })),
            check("small_few", json!({ "read": "repos", "over": "listing", "pass": { "at": "/private", "equals": false },
                "count": { "at_most": 1 }, "resource": { "type": "account", "id": "{account_id}" } })),
            check("small_signed", json!({ "read": "repo", "pass": { "at": "/signed", "equals": true },
                "resource": { "type": "repo", "id": "{repo}" } })),
            check("small_key", json!({ "read": "keys", "over": "items", "pass": { "at": "/read_only", "equals": true },
                "resource": { "type": "key", "id": "/id" } })),
        ]
    })
}

pub fn check(id: &str, rest: Value) -> Value {
    let mut check = json!({
        "id": id, "version": 1, "state": "documented", "severity": "high", "title": "What should hold holds",
        "why": "Something bad happens otherwise.", "remediation": { "text": "Put it right where it is." }
    });
    let members = check.as_object_mut().expect("an object");
    members.extend(rest.as_object().expect("an object").clone());
    check
}

pub fn read(entry: &Value) -> Entry {
    checks::parse(&entry.to_string()).expect("a sound entry")
}

pub fn ok(body: Value) -> Answer {
    answer(200, &[], body)
}

pub fn answer(status: u16, headers: &[(&str, &str)], body: Value) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    Answer::Http {
        status,
        headers: headers.collect(),
        body: body.to_string().into_bytes(),
    }
}

/// The whole of what a scan says.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub outcomes: Vec<Outcome>,
    pub coverage: Vec<Coverage>,
    pub requests: u32,
    pub waited: i64,
    pub ended: Option<checks::Reason>,
    pub incomplete: BTreeMap<String, checks::Reason>,
}

impl Said {
    pub fn check(&self, id: &str) -> &Coverage {
        let mut coverage = self.coverage.iter();
        coverage
            .find(|check| check.check_id == id)
            .expect("a check")
    }
}

/// A scan that is kept as text and resumed elsewhere after every `slice` requests.
pub fn scan(
    entry: &Entry,
    bounds: Bounds,
    granted: Option<&[&str]>,
    slice: u32,
    mut provider: impl FnMut(&Request) -> Answer,
) -> Said {
    let settings: BTreeMap<String, String> = entry
        .settings
        .iter()
        .map(|name| (name.clone(), "42".to_owned()))
        .collect();
    let granted: Option<Vec<String>> =
        granted.map(|granted| granted.iter().map(ToString::to_string).collect());
    let mut run = Run::new(entry, settings.clone(), granted.clone(), bounds);
    let mut report = Report::default();
    report.add(run.start());
    let mut now = NOW;
    let mut answered = 0;
    loop {
        match run.next(now) {
            Step::Ask(request) => {
                report.add(run.take(provider(&request), now));
                answered += 1;
            }
            Step::Wait(until) => now = until,
            Step::Done => break,
        }
        if answered == slice {
            answered = 0;
            let kept = serde_json::to_string(run.position()).expect("JSON");
            let position: Position = serde_json::from_str(&kept).expect("the same");
            assert_eq!(&position, run.position());
            run = Run::resume(entry, settings.clone(), granted.clone(), bounds, position)
                .expect("the same checks");
        }
    }
    Said {
        outcomes: report.outcomes().cloned().collect(),
        coverage: report.coverage(entry, &run),
        requests: run.requests(),
        waited: now - NOW,
        ended: run.ended(),
        incomplete: run.incomplete().clone(),
    }
}

/// Two pages of two repositories each, three of them private, and a read-only key in each.
pub fn provider(request: &Request) -> Answer {
    let path = request
        .url
        .strip_prefix("https://api.test")
        .expect("the host");
    match path {
        "/account" => ok(json!({ "id": 42, "mfa": true, "motto": "m" })),
        "/repos" => answer(
            200,
            &[("link", "<https://api.test/repos?page=2>; rel=\"next\"")],
            json!([{ "id": 1, "name": "one", "private": true }, { "id": 2, "name": "two", "private": true }]),
        ),
        "/repos?page=2" => ok(json!([
            { "id": 3, "name": "three", "private": true }, { "id": 4, "name": "four", "private": false }
        ])),
        _ if path.ends_with("/keys") => ok(json!([{ "id": path, "read_only": true }])),
        _ => ok(json!({ "signed": true })),
    }
}
