//! Lists: their pages, their bounds, and that an empty one passes nothing.
#![cfg(not(target_arch = "wasm32"))]

mod small;

use checks::{Answer, Bounds, Reason, Request, Status};
use serde_json::{Value, json};
use small::{answer, entry, ok, provider, read, scan};

const ALL: u32 = u32::MAX;

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
fn the_worst_organization_leaves_a_position_of_bounded_size() {
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
        if asked.is_multiple_of(50) && asked < 500 {
            largest = largest.max(serde_json::to_string(run.position()).unwrap().len());
        }
    }
    assert!(asked > 5_000 * 6, "{asked}");
    assert!((1_000_000..2_500_000).contains(&largest), "{largest}");
}
