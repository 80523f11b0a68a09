//! The machine: slices, limits, credentials, and gaps.
#![cfg(not(target_arch = "wasm32"))]

mod small;

use checks::{Answer, Bounds, Reason, Request, Status};
use serde_json::json;
use small::{answer, entry, provider, read, scan};

const ALL: u32 = u32::MAX;

#[test]
fn sees_all_that_there_is() {
    let said = scan(&read(&entry()), Bounds::default(), None, ALL, provider);
    assert_eq!(said.requests, 1 + 2 + 4 + 4);
    assert!(said.coverage.iter().all(|check| check.complete));
    let statuses: Vec<Status> = said.coverage.iter().map(|check| check.status).collect();
    use Status::{Fail, Pass};
    assert_eq!(statuses, [Pass, Fail, Pass, Pass, Pass]);
    assert_eq!(said.check("small_private").passed, 3);
}

#[test]
fn a_scan_in_slices_of_any_size_says_what_one_in_one_go_says() {
    // Everything goes wrong once: a limit within a list, a refused credential, a failure, a hidden repository, a plan.
    let rough = || {
        let mut asked = 0;
        move |request: &Request| {
            asked += 1;
            match (asked, request.url.as_str()) {
                (2, _) => answer(429, &[("retry-after", "30")], json!({})),
                (4, _) => answer(401, &[], json!({})),
                (6, _) => Answer::Failed,
                (_, "https://api.test/repos/2") => answer(404, &[], json!({})),
                (_, "https://api.test/repos/3/keys") => {
                    answer(404, &[], json!({ "message": "not in your plan" }))
                }
                _ => provider(request),
            }
        }
    };
    let entry = read(&entry());
    let whole = scan(&entry, Bounds::default(), None, ALL, rough());
    assert_eq!(whole.waited, 35);
    assert_eq!(whole.requests, 14);
    for slice in 1..=14 {
        assert_eq!(scan(&entry, Bounds::default(), None, slice, rough()), whole);
    }
}

#[test]
fn a_rate_limit_within_a_list_loses_nothing() {
    let mut limited = 0;
    let said = scan(&read(&entry()), Bounds::default(), None, ALL, |request| {
        if request.url.ends_with("page=2") && limited < 3 {
            limited += 1;
            return answer(
                403,
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "60")],
                json!({}),
            );
        }
        provider(request)
    });
    assert_eq!(said.waited, 180);
    assert_eq!(said.check("small_private").passed, 3);
    assert!(said.check("small_private").complete);
}

#[test]
fn a_rate_limit_that_does_not_end_is_unknown_and_costs_no_other_read() {
    let said = scan(&read(&entry()), Bounds::default(), None, ALL, |request| {
        if request.url.ends_with("page=2") {
            return answer(429, &[], json!({}));
        }
        provider(request)
    });
    let private = said.check("small_private");
    assert_eq!(
        (private.status, private.passed, private.complete),
        (Status::Unknown, 2, false)
    );
    assert_eq!(private.reason, Some(Reason::Limited));
    assert_eq!(said.check("small_mfa").status, Status::Pass);
    // One public repository may be on the page that was not seen, or two.
    assert_eq!(said.check("small_few").status, Status::Unknown);
    // Of the repositories that are not known, nothing is known.
    assert_eq!(said.check("small_signed").status, Status::Unknown);
}

#[test]
fn what_is_forbidden_after_what_is_not_in_the_plan_is_a_gap() {
    let said = scan(
        &read(&entry()),
        Bounds::default(),
        None,
        ALL,
        |request| match request.url.as_str() {
            "https://api.test/repos/1/keys" => answer(404, &[], json!({ "message": "plan" })),
            "https://api.test/repos/2/keys" => answer(403, &[], json!({})),
            _ => provider(request),
        },
    );
    let key = said.check("small_key");
    assert_eq!((key.status, key.complete), (Status::Unknown, false));
    assert_eq!(key.reason, Some(Reason::Forbidden));
    assert_eq!(said.incomplete["small_key"], Reason::Forbidden);
    assert_eq!((key.passed, key.not_applicable, key.unknown), (2, 1, 1));
}

#[test]
fn what_is_not_in_the_plan_is_no_gap_but_not_complete_either() {
    let said = scan(&read(&entry()), Bounds::default(), None, ALL, |request| {
        if request.url.ends_with("/1/keys") {
            return answer(404, &[], json!({ "message": "plan" }));
        }
        provider(request)
    });
    let key = said.check("small_key");
    // The keys of that repository were not listed: none of them is gone.
    assert_eq!((key.status, key.complete), (Status::Pass, false));
}

#[test]
fn a_refused_credential_is_read_once_more_each_time() {
    let mut refused = 0;
    let mut fresh = 0;
    let said = scan(&read(&entry()), Bounds::default(), None, ALL, |request| {
        fresh += u32::from(request.fresh_credential);
        // Once for the account, once for the second page.
        let again = request.url.ends_with("/account") || request.url.ends_with("page=2");
        if again && !request.fresh_credential {
            refused += 1;
            return answer(401, &[], json!({}));
        }
        if request.url.ends_with("/account") {
            return answer(404, &[], json!({}));
        }
        provider(request)
    });
    assert_eq!((refused, fresh), (2, 2));
    assert_eq!(said.ended, None);
    assert_eq!(said.check("small_private").passed, 3);
}

#[test]
fn a_credential_that_is_refused_twice_ends_the_scan_without_a_verdict() {
    let said = scan(&read(&entry()), Bounds::default(), None, ALL, |request| {
        if request.url.ends_with("page=2") {
            return answer(401, &[], json!({}));
        }
        provider(request)
    });
    assert_eq!(said.ended, Some(Reason::Unauthorized));
    assert_eq!(said.check("small_mfa").status, Status::Pass);
    for id in ["small_private", "small_signed", "small_key"] {
        assert_eq!(said.check(id).status, Status::Unknown, "{id}");
        assert!(!said.check(id).complete, "{id}");
    }
}

#[test]
fn asks_nothing_that_was_not_granted() {
    let mut asked = Vec::new();
    let granted = Some(["account:read"].as_slice());
    let said = scan(
        &read(&entry()),
        Bounds::default(),
        granted,
        ALL,
        |request| {
            asked.push(request.url.clone());
            provider(request)
        },
    );
    assert!(!asked.contains(&"https://api.test/repos/1".to_owned()));
    assert!(asked.contains(&"https://api.test/repos/1/keys".to_owned()));
    let signed = said.check("small_signed");
    assert_eq!(
        (signed.status, signed.reason),
        (Status::Unknown, Some(Reason::NoScope))
    );
    assert_eq!(signed.needs, ["admin"]);
}
