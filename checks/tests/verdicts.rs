//! What is made of more than one answer, and what is kept of it.
#![cfg(not(target_arch = "wasm32"))]

mod small;

use checks::{Answer, Bounds, Status};
use serde_json::{Value, json};
use small::{answer, check, entry, ok, provider, read, scan};

const ALL: u32 = u32::MAX;

#[test]
fn a_fingerprint_is_made_of_ids_and_survives_a_rename() {
    let fingerprints = |name: &'static str| {
        let said = scan(
            &read(&entry()),
            Bounds::default(),
            None,
            ALL,
            move |request| {
                let answer = provider(request);
                let Answer::Http {
                    status,
                    headers,
                    body,
                } = answer
                else {
                    return answer;
                };
                let body = String::from_utf8(body).unwrap();
                let body = body
                    .replace("\"one\"", &format!("{name:?}"))
                    .replace("\"m\"", &format!("{name:?}"));
                Answer::Http {
                    status,
                    headers,
                    body: body.into_bytes(),
                }
            },
        );
        let all: Vec<_> = said
            .outcomes
            .iter()
            .map(|outcome| outcome.fingerprint("small", "42"))
            .collect();
        (
            all,
            said.outcomes
                .iter()
                .any(|outcome| outcome.resource_name.as_deref() == Some(name)),
        )
    };
    let (before, named) = fingerprints("before");
    assert!(named);
    assert_eq!(before, fingerprints("after").0);
    let mut different = before.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), before.len());
}

#[test]
fn keeps_two_hundred_characters_of_evidence_and_scalars_only() {
    for (motto, kept) in [
        (json!("é".repeat(500)), Some(json!("é".repeat(200)))),
        (json!({ "a": 1 }), None),
        (json!([1]), None),
        (json!(7), Some(json!(7))),
    ] {
        let said = scan(&read(&entry()), Bounds::default(), None, ALL, |request| {
            if request.url.ends_with("/account") {
                return ok(json!({ "id": 42, "mfa": true, "motto": motto }));
            }
            provider(request)
        });
        let mut outcomes = said.outcomes.iter();
        let outcome = outcomes
            .find(|outcome| outcome.check_id == "small_mfa")
            .unwrap();
        assert_eq!(outcome.evidence.get("/motto"), kept.as_ref());
        assert_eq!(outcome.evidence["/mfa"], json!(true));
    }
}

#[test]
fn an_answer_is_shown_without_its_body() {
    let shown = format!("{:?}", ok(json!({ "token": "planted-secret" })));
    assert_eq!(shown, "Http 200 of 26 bytes");
}

/// A lint that another check supersedes.
fn with_lints() -> Value {
    let mut small = entry();
    small["reads"]["lints"] = json!({ "url": "https://api.test/lints", "items": "" });
    small["checks"][0]["supersedes"] = json!(["small_lint:no_mfa"]);
    let lint = json!({ "read": "lints", "over": "each", "item": "/name", "resource": { "type": "object", "id": "/object" } });
    small["checks"]
        .as_array_mut()
        .expect("a list")
        .push(check("small_lint", lint));
    small
}

#[test]
fn a_finding_is_left_to_another_check_only_if_that_could_look() {
    let lints = |account: Answer| {
        let said = scan(
            &read(&with_lints()),
            Bounds::default(),
            None,
            1,
            |request| match request.url.as_str() {
                "https://api.test/account" => account.clone(),
                "https://api.test/lints" => ok(json!([{ "name": "no_mfa", "object": "k" }])),
                _ => provider(request),
            },
        );
        said.check("small_lint").status
    };
    assert_eq!(lints(ok(json!({ "id": 42, "mfa": false }))), Status::Pass);
    assert_eq!(lints(answer(403, &[], json!({}))), Status::Fail);
    assert_eq!(lints(ok(json!({ "id": 42 }))), Status::Fail);
}

#[test]
fn an_advisor_that_was_asked_and_finds_nothing_passes() {
    let lints = |answer: Answer| {
        let said = scan(
            &read(&with_lints()),
            Bounds::default(),
            None,
            1,
            |request| {
                if request.url.ends_with("/lints") {
                    answer.clone()
                } else {
                    provider(request)
                }
            },
        );
        said.check("small_lint").clone()
    };
    let none = lints(ok(json!([])));
    assert_eq!(
        (none.status, none.passed, none.complete),
        (Status::Pass, 1, true)
    );
    assert_eq!(lints(answer(403, &[], json!({}))).status, Status::Unknown);
}

/// A check over two reads, as GitHub's of a branch.
fn over_two(protection: Answer, rules: Answer) -> (Status, bool, u32) {
    let mut small = entry();
    let each = json!({ "read": "repos", "let": { "repo": "/id" } });
    small["reads"]["rules"] =
        json!({ "url": "https://api.test/repos/{repo}/rules", "items": "", "for_each": each });
    small["checks"][3]["or"] = json!({ "read": "rules", "pass": { "at": "/type", "equals": "signed" }, "count": { "at_least": 1 } });
    let said = scan(
        &read(&small),
        Bounds::default(),
        None,
        1,
        |request| match request.url.strip_prefix("https://api.test/repos/1") {
            Some("") => protection.clone(),
            Some("/rules") => rules.clone(),
            _ if request.url.ends_with("/rules") => ok(json!([])),
            _ => provider(request),
        },
    );
    let of_one = said
        .outcomes
        .iter()
        .filter(|outcome| outcome.check_id == "small_signed" && outcome.resource.id == "1");
    let statuses: Vec<Status> = of_one.map(|outcome| outcome.status).collect();
    assert_eq!(statuses.len(), 1, "one result for one repository");
    (
        statuses[0],
        said.check("small_signed").complete,
        said.requests,
    )
}

#[test]
fn either_of_two_reads_is_enough_to_pass_and_both_are_needed_to_fail() {
    let signed = |signed: bool| ok(json!({ "signed": signed }));
    let rules = |names: &[&str]| ok(names.iter().map(|name| json!({ "type": name })).collect());
    let forbidden = || answer(403, &[], json!({}));
    let status = |one: Answer, other: Answer| over_two(one, other).0;
    assert_eq!(status(signed(false), rules(&["signed"])), Status::Pass);
    assert_eq!(status(signed(true), rules(&[])), Status::Pass);
    assert_eq!(status(signed(false), rules(&["deletion"])), Status::Fail);
    assert_eq!(status(signed(false), forbidden()), Status::Unknown);
    assert_eq!(status(forbidden(), rules(&[])), Status::Unknown);
    assert_eq!(status(forbidden(), forbidden()), Status::Unknown);
    // What one read did not see, the other made up for.
    assert_eq!(
        over_two(forbidden(), rules(&["signed"])),
        (Status::Pass, true, 15)
    );
}
