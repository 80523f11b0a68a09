//! The machine: slices, pages, limits, gaps, and what it keeps.
#![cfg(not(target_arch = "wasm32"))]

mod small;

use checks::{Answer, Bounds, Reason, Request, Status};
use serde_json::{Value, json};
use small::{answer, check, entry, ok, provider, read, scan};

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
fn a_list_of_nothing_passes_no_check_of_its_items() {
    let said = scan(&read(&entry()), Bounds::default(), None, ALL, |request| {
        if request.url.ends_with("/repos") {
            return ok(json!([]));
        }
        provider(request)
    });
    for id in ["small_private", "small_signed", "small_key"] {
        let check = said.check(id);
        assert_eq!(check.status, Status::NotApplicable, "{id}");
        assert_eq!(
            (check.reason, check.complete),
            (Some(Reason::Empty), true),
            "{id}"
        );
    }
    assert_eq!(said.check("small_few").status, Status::Pass);
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

#[test]
fn every_bound_ends_in_unknown() {
    let at = |change: &dyn Fn(&mut Bounds)| {
        let mut bounds = Bounds::default();
        change(&mut bounds);
        scan(&read(&entry()), bounds, None, ALL, provider)
    };
    let unknown = |said: &small::Said, id: &str, reason: Reason| {
        let check = said.check(id);
        assert_eq!(
            (check.status, check.complete),
            (Status::Unknown, false),
            "{id}"
        );
        assert_eq!(check.reason, Some(reason), "{id}");
    };
    let requests = at(&|bounds| bounds.requests = 5);
    assert_eq!(requests.requests, 5);
    assert_eq!(requests.ended, Some(Reason::Truncated));
    unknown(&requests, "small_signed", Reason::Truncated);
    unknown(
        &at(&|bounds| bounds.pages = 1),
        "small_few",
        Reason::Truncated,
    );
    unknown(
        &at(&|bounds| bounds.items = 3),
        "small_few",
        Reason::Truncated,
    );
    unknown(
        &at(&|bounds| bounds.tasks = 2),
        "small_key",
        Reason::Truncated,
    );
    unknown(
        &at(&|bounds| bounds.answer_bytes = 20),
        "small_mfa",
        Reason::TooLarge,
    );
}

#[test]
fn reads_each_kind_of_pages_to_its_end() {
    let of = |pages: Value, provider: &dyn Fn(&str, Option<&String>) -> Answer| {
        let mut small = entry();
        small["reads"] = json!({ "repos": { "url": "https://api.test/repos?size=2", "items": "/list", "pages": pages } });
        small["checks"]
            .as_array_mut()
            .unwrap()
            .retain(|check| check["id"] == "small_private");
        small["account"] = json!("{account_id}");
        let said = scan(
            &read(&small),
            Bounds::default(),
            None,
            1,
            |request: &Request| provider(&request.url, request.headers.get("range")),
        );
        let private = said.check("small_private").clone();
        (private.passed, private.complete, said.requests)
    };
    let item = |id: u32| json!({ "id": id, "private": true });
    let cursor = json!({ "by": "cursor", "at": "/next", "param": "from" });
    let got = of(cursor.clone(), &|url, _| match url.split_once("from=") {
        None => ok(json!({ "list": [item(1)], "next": "a b&c" })),
        Some((_, "a+b%26c")) => ok(json!({ "list": [item(2)], "next": null })),
        Some(_) => Answer::Failed,
    });
    assert_eq!(got, (2, true, 2));
    // A cursor that is missing is not the end, and one that comes back is no way on.
    assert!(!of(cursor.clone(), &|_, _| ok(json!({ "list": [item(1)] }))).1);
    assert!(
        !of(cursor, &|_, _| ok(
            json!({ "list": [item(1)], "next": "x" })
        ))
        .1
    );
    let page = json!({ "by": "page", "param": "page", "first": 1 });
    let got = of(page, &|url, _| {
        let list = match url.split_once("page=").unwrap().1 {
            "1" => vec![item(1), item(2)],
            // A short page is not the last.
            "2" => vec![item(3)],
            "3" => vec![item(4)],
            _ => vec![],
        };
        ok(json!({ "list": list }))
    });
    assert_eq!(got, (4, true, 4));
    let got = of(json!({ "by": "range" }), &|_, range| match range {
        None => answer(
            206,
            &[("next-range", "id 2..")],
            json!({ "list": [item(1)] }),
        ),
        Some(_) => ok(json!({ "list": [item(2)] })),
    });
    assert_eq!(got, (2, true, 2));
    // The range that was just asked for, again.
    let circle = &|_: &str, _: Option<&String>| {
        answer(
            206,
            &[("next-range", "id 2..")],
            json!({ "list": [item(1)] }),
        )
    };
    assert!(!of(json!({ "by": "range" }), circle).1);
    let link = json!({ "by": "link" });
    for away in [
        "https://evil.test/repos",
        "http://api.test/repos",
        "/repos?page=2",
    ] {
        let link_to = format!("<{away}>; rel=\"next\"");
        let got = of(link.clone(), &|_, _| {
            answer(200, &[("link", &link_to)], json!({ "list": [item(1)] }))
        });
        assert_eq!(got, (1, false, 1), "{away}");
    }
    // Without pages, an answer that says it is a part is one.
    assert!(
        !of(Value::Null, &|_, _| answer(
            206,
            &[],
            json!({ "list": [item(1)] })
        ))
        .1
    );
}

#[test]
fn a_list_that_changes_between_pages_keeps_the_worse_result() {
    let said = scan(&read(&entry()), Bounds::default(), None, ALL, |request| {
        if request.url.ends_with("page=2") {
            return ok(
                json!([{ "id": 1, "name": "one", "private": false }, { "id": 3, "name": "x", "private": true }]),
            );
        }
        provider(request)
    });
    let private = said.check("small_private");
    assert_eq!((private.passed, private.failed), (2, 1));
}

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
        .unwrap()
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

#[test]
fn the_worst_organisation_leaves_a_position_of_bounded_size() {
    let github = checks::entry("github").unwrap();
    let mut largest = 0;
    let mut asked = 0u32;
    let settings = [("account_id".to_owned(), "7".to_owned())];
    let mut run = checks::Run::new(github, settings.into(), None, Bounds::default());
    run.start();
    while let checks::Step::Ask(request) = run.next(small::NOW) {
        asked += 1;
        let url = request.url.as_str();
        let page: u32 = url
            .split("&page=")
            .nth(1)
            .and_then(|page| page.parse().ok())
            .unwrap_or(1);
        let answer = if url.starts_with("https://api.github.com/user/orgs") {
            ok(json!([{ "login": "acme", "id": 99 }]))
        } else if url.starts_with("https://api.github.com/orgs/acme/repos") {
            let repos: Value = (0..100)
                .map(|n| json!({ "id": page * 1000 + n, "name": format!("repository-{page}-{n}"), "default_branch": "main", "archived": false, "private": true }))
                .collect();
            let next = format!(
                "<https://api.github.com/orgs/acme/repos?per_page=100&page={}>; rel=\"next\"",
                page + 1
            );
            let link = [("link", next.as_str())];
            answer(200, if page < 50 { &link } else { &[] }, repos)
        } else {
            ok(json!([]))
        };
        run.take(answer, small::NOW);
        if asked % 50 == 0 && asked < 500 {
            largest = largest.max(serde_json::to_string(run.position()).unwrap().len());
        }
    }
    assert!(asked > 5_000 * 6, "{asked}");
    assert!((1_000_000..2_500_000).contains(&largest), "{largest}");
}
