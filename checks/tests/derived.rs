//! Every check of every entry against answers that are derived from it: none is written by hand.
#![cfg(not(target_arch = "wasm32"))]

mod derive;

use checks::{
    Answer, Bounds, Check, Entry, Export, Format, Report, Request, Row, Run, Status, Step,
};
use derive::{NOW, Provider, Said, every_check, http, satisfy, scan};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn a_passing_answer_passes_and_a_failing_one_fails() {
    for (entry, check) in every_check() {
        for (passes, status) in [(true, Status::Pass), (false, Status::Fail)] {
            let provider = Provider::for_check(entry, check, passes);
            let said = scan(entry, check, |request| provider.answer(entry, request));
            assert_eq!(said.check, status, "{}: {provider:?}", check.id);
        }
    }
}

/// Scans with one read's answers replaced, and the rest such that the check would pass.
fn with(entry: &Entry, check: &Check, read: &str, replaced: &dyn Fn(&Value) -> Answer) -> Said {
    let provider = Provider::for_check(entry, check, true);
    scan(entry, check, |request: &Request| {
        let good = provider.0.get(read).filter(|_| request.read == read);
        good.map_or_else(|| provider.answer(entry, request), replaced)
    })
}

/// The check's read, and those it is asked for.
fn chain(entry: &Entry, check: &Check) -> Vec<String> {
    let mut names = Vec::from_iter(check.read.clone());
    while let Some(each) = &entry.reads[names.last().expect("a read")].for_each {
        names.push(each.read.clone());
    }
    names
}

#[test]
fn an_answer_of_no_use_is_unknown_and_neither_a_pass_nor_a_failure() {
    let status = |status: u16| move |_: &Value| http(status, b"{}".to_vec());
    let text = |text: &'static str| move |_: &Value| http(200, text.into());
    let large = |_: &Value| http(200, vec![b' '; Bounds::default().answer_bytes + 1]);
    let cut = |good: &Value| {
        let mut text = good.to_string();
        text.truncate(text.len() - 1);
        http(200, text.into())
    };
    type Spoiled<'a> = (&'a str, &'a dyn Fn(&Value) -> Answer);
    let useless: [Spoiled; 20] = [
        ("302", &status(302)),
        ("400", &status(400)),
        ("401", &status(401)),
        ("402", &status(402)),
        ("403", &status(403)),
        ("404", &status(404)),
        ("410", &status(410)),
        ("429", &status(429)),
        ("500", &status(500)),
        ("503", &status(503)),
        ("204 without a body", &|_| http(204, Vec::new())),
        (
            "200 with an error",
            &text(r#"{"error":{"code":"forbidden","message":"no"}}"#),
        ),
        (
            "200 with ok false",
            &text(r#"{"ok":false,"error":"missing_scope","needed":"x"}"#),
        ),
        ("absent", &text("{}")),
        ("null", &text("null")),
        ("HTML", &text("<!doctype html><title>Sign in</title>")),
        ("empty", &text("")),
        ("truncated", &cut),
        ("too large", &large),
        ("no answer", &|_| Answer::Failed),
    ];
    for (entry, check) in every_check() {
        for read in chain(entry, check) {
            for (name, replaced) in useless {
                // GitHub's 204 is an answer, where the entry says so.
                let said_by_entry = entry.reads[&read]
                    .answers
                    .iter()
                    .any(|special| special.status == 204);
                if name.starts_with("204") && said_by_entry {
                    continue;
                }
                let said = with(entry, check, &read, replaced);
                let wrong = said
                    .results
                    .iter()
                    .any(|status| matches!(status, Status::Pass | Status::Fail));
                // A read may have an answer for this status of its own: off, or not in the plan.
                let meant = |said: &Said| {
                    said.check == Status::Unknown || said.check == Status::NotApplicable
                };
                assert!(
                    !wrong && meant(&said),
                    "{} {read} {name}: {said:?}",
                    check.id
                );
            }
        }
    }
}

#[test]
fn what_an_entry_calls_forbidden_hidden_off_or_not_in_the_plan_never_passes() {
    for (entry, check) in every_check() {
        for read in chain(entry, check) {
            for special in entry.reads[&read].answers.iter().chain(&entry.answers) {
                if special.means.is_none() {
                    continue;
                }
                let mut body = json!({});
                if let Some(when) = &special.when {
                    satisfy(when, true, &mut body);
                }
                let answer = |_: &Value| http(special.status, body.to_string().into());
                let said = with(entry, check, &read, &answer);
                assert!(
                    matches!(said.check, Status::Unknown | Status::NotApplicable),
                    "{} {special:?}: {said:?}",
                    check.id
                );
            }
        }
    }
}

/// The places of all members of all objects.
fn members(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let at = format!("{at}/{name}");
                members(value, &at, found);
                found.push(at);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                members(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn remove(value: &mut Value, at: &str) {
    let (parent, name) = at.rsplit_once('/').expect("a member");
    if let Some(Value::Object(object)) = value.pointer_mut(parent) {
        object.remove(name);
    }
}

/// The check's verdict with some members taken away, which may be worse than before but never better.
fn without_is_no_pass(
    entry: &Entry,
    check: &Check,
    provider: &Provider,
    absent: &[(String, String)],
) {
    let before = scan(entry, check, |request| provider.answer(entry, request)).check;
    let mut less = provider.clone();
    for (read, at) in absent {
        remove(less.0.get_mut(read).expect("a read"), at);
    }
    let after = scan(entry, check, |request| less.answer(entry, request)).check;
    let better = matches!(before, Status::Fail | Status::Unknown)
        && !matches!(after, Status::Fail | Status::Unknown);
    assert!(
        !better,
        "{}: {before:?} became {after:?} without {absent:?} in {provider:?}",
        check.id
    );
}

fn places(provider: &Provider) -> Vec<(String, String)> {
    let mut places = Vec::new();
    for (read, body) in &provider.0 {
        let mut found = Vec::new();
        members(body, "", &mut found);
        places.extend(found.into_iter().map(|at| (read.clone(), at)));
    }
    places
}

#[test]
fn a_failure_without_any_one_value_is_no_pass() {
    for (entry, check) in every_check() {
        let provider = Provider::for_check(entry, check, false);
        for place in places(&provider) {
            without_is_no_pass(entry, check, &provider, &[place]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any values in the place of any others, and any of them absent.
    #[test]
    fn absent_values_never_turn_fail_or_unknown_into_pass(
        which in any::<prop::sample::Index>(),
        passes in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3),
        absent in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let checks: Vec<_> = every_check().collect();
        let (entry, check) = checks[which.index(checks.len())];
        let mut provider = Provider::for_check(entry, check, passes);
        let pool = [
            json!(null), json!(true), json!(false), json!(0), json!(5000), json!(NOW), json!(""), json!("zzz"), json!([]), json!({}),
            json!("http://a.test"), json!("0.0.0.0/0"), json!(["x"]),
        ];
        let all = places(&provider);
        prop_assume!(!all.is_empty());
        for (place, value) in changes {
            let (read, at) = &all[place.index(all.len())];
            let body = provider.0.get_mut(read).expect("a read");
            if let Some(old) = body.pointer_mut(at) {
                *old = pool[value.index(pool.len())].clone();
            }
        }
        let all = places(&provider);
        prop_assume!(!all.is_empty());
        let absent: Vec<_> = absent.iter().map(|place| all[place.index(all.len())].clone()).collect();
        without_is_no_pass(entry, check, &provider, &absent);
    }
}

/// A secret in every object of an answer, beside what the checks look at.
fn plant(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(plant);
            for name in ["access_token", "jwt_secret", "smtp_pass", "remark"] {
                members.insert(name.to_owned(), PLANTED.into());
            }
        }
        Value::Array(list) => list.iter_mut().for_each(plant),
        _ => {}
    }
}

const PLANTED: &str = "planted-secret";

#[test]
fn a_secret_in_an_answer_is_nowhere_afterwards() {
    for (entry, check) in every_check() {
        for passes in [true, false] {
            let mut provider = Provider::for_check(entry, check, passes);
            provider.0.values_mut().for_each(plant);
            let settings = entry
                .settings
                .iter()
                .map(|name| (name.clone(), "id".to_owned()));
            let mut run = Run::new(entry, settings.collect(), None, Bounds::default());
            let mut report = Report::default();
            report.add(run.start());
            let mut now = NOW;
            let mut looked = 0;
            loop {
                match run.next(now) {
                    Step::Ask(request) => {
                        let mut answer = provider.answer(entry, &request);
                        if let Answer::Http {
                            status: 404, body, ..
                        } = &mut answer
                        {
                            *body = format!("{{\"message\":\"{PLANTED}\"}}").into_bytes();
                        }
                        assert!(!format!("{answer:?}{request:?}").contains(PLANTED));
                        report.add(run.take(answer, now));
                        looked += 1;
                    }
                    Step::Wait(until) => now = until,
                    Step::Done => break,
                }
                if looked < 12 {
                    let kept = serde_json::to_string(run.position()).expect("JSON");
                    assert!(!kept.contains(PLANTED), "{}", check.id);
                    assert!(!format!("{:?}", run.position()).contains(PLANTED));
                }
            }
            let coverage = report.coverage(entry, &run);
            let rows = report.outcomes().map(Row::from);
            let export = Export {
                entry,
                integration: None,
                account: "id",
                rows: rows.collect(),
                coverage: &coverage,
                time: NOW,
                ended: run.ended(),
                version: "0",
            };
            for format in [Format::Json, Format::Csv, Format::Sarif, Format::Ocsf] {
                assert!(
                    !export.write(format).contains(PLANTED),
                    "{} {format:?}",
                    check.id
                );
            }
        }
    }
}

#[test]
fn each_providers_own_refusal_is_unknown() {
    // As each provider writes 401, 403 and 404, and a refusal with status 200.
    let refusals = [
        ("supabase", 401, json!({"message": "Unauthorized"})),
        (
            "supabase",
            403,
            json!({"message": "Your account does not have the necessary privileges to access this endpoint."}),
        ),
        ("supabase", 404, json!({"message": "Project not found"})),
        (
            "supabase",
            402,
            json!({"message": "This feature is not available on your plan"}),
        ),
        (
            "github",
            401,
            json!({"message": "Bad credentials", "status": "401"}),
        ),
        (
            "github",
            403,
            json!({"message": "Resource not accessible by integration", "status": "403"}),
        ),
        (
            "github",
            404,
            json!({"message": "Not Found", "status": "404"}),
        ),
        ("github", 422, json!({"message": "Validation Failed"})),
        ("gitlab", 401, json!({"message": "401 Unauthorized"})),
        (
            "gitlab",
            403,
            json!({"error": "insufficient_scope", "error_description": "The request requires higher privileges than provided by the access token.", "scope": "api read_api"}),
        ),
        ("gitlab", 404, json!({"message": "404 Project Not Found"})),
        (
            "auth0",
            401,
            json!({"statusCode": 401, "error": "Unauthorized", "message": "Invalid token"}),
        ),
        (
            "auth0",
            403,
            json!({"statusCode": 403, "error": "Forbidden", "errorCode": "insufficient_scope", "message": "Insufficient scope"}),
        ),
        (
            "vercel",
            401,
            json!({"error": {"code": "unauthorized", "message": "The request requires authentication."}}),
        ),
        (
            "vercel",
            403,
            json!({"error": {"code": "forbidden", "message": "Not authorized", "invalidToken": true}}),
        ),
        (
            "vercel",
            404,
            json!({"error": {"code": "not_found", "message": "Not found"}}),
        ),
        (
            "heroku",
            401,
            json!({"id": "unauthorized", "message": "Invalid credentials provided."}),
        ),
        (
            "heroku",
            403,
            json!({"id": "forbidden", "message": "You do not have access to the team."}),
        ),
        (
            "heroku",
            404,
            json!({"id": "not_found", "message": "Couldn't find that app."}),
        ),
        (
            "discord",
            401,
            json!({"message": "401: Unauthorized", "code": 0}),
        ),
        (
            "discord",
            403,
            json!({"message": "Missing Access", "code": 50001}),
        ),
        (
            "slack like",
            200,
            json!({"ok": false, "error": "missing_scope", "needed": "team:read", "provided": "users:read"}),
        ),
    ];
    for (entry, check) in every_check() {
        for (kind, status, body) in &refusals {
            if *kind != entry.kind && *status != 200 {
                continue;
            }
            for read in chain(entry, check) {
                let said = with(entry, check, &read, &|_| {
                    http(*status, body.to_string().into())
                });
                let fork_of_a_private_repository = *status == 422 && read == "fork_approval";
                if fork_of_a_private_repository {
                    assert_eq!(said.check, Status::NotApplicable);
                } else {
                    assert_eq!(
                        said.check,
                        Status::Unknown,
                        "{} {read} {status} {body}",
                        check.id
                    );
                }
            }
        }
    }
}
