//! What the build refuses.
#![cfg(not(target_arch = "wasm32"))]

mod small;

use serde_json::{Value, json};

fn refused(change: impl Fn(&mut Value), because: &str) {
    let mut entry = small::entry();
    assert!(checks::parse(&entry.to_string()).is_ok());
    change(&mut entry);
    match checks::parse(&entry.to_string()) {
        Ok(_) => panic!("accepted; expected: {because}"),
        Err(fault) => assert!(
            fault.contains(because),
            "{fault:?} does not say {because:?}"
        ),
    }
}

#[test]
fn what_is_no_entry() {
    assert!(checks::parse("{").is_err());
    refused(|entry| entry["color"] = json!("red"), "unknown field");
    refused(
        |entry| entry["reads"]["repos"]["pages"] = json!({ "by": "luck" }),
        "unknown variant",
    );
    refused(
        |entry| entry["checks"] = json!([]),
        "needs hosts and checks",
    );
    refused(
        |entry| entry["checks"][0]["pass"] = json!({ "at": "/mfa", "resembles": 1 }),
        "unknown field",
    );
    refused(
        |entry| entry["checks"][0]["pass"] = json!({ "all": [] }),
        "empty all",
    );
    refused(
        |entry| entry["checks"][0]["pass"] = json!({ "at": "mfa", "equals": 1 }),
        "no JSON Pointer",
    );
    let twice = small::entry().to_string().replacen(
        "\"account\":{\"scope\"",
        "\"repo\":{\"url\":\"https://api.test/x\"},\"account\":{\"scope\"",
        1,
    );
    assert!(checks::parse(&twice).unwrap_err().contains("twice"));
}

#[test]
fn a_check_that_helps_nobody() {
    refused(
        |entry| {
            drop(
                entry["checks"][0]
                    .as_object_mut()
                    .unwrap()
                    .remove("remediation"),
            )
        },
        "missing field `remediation`",
    );
    refused(
        |entry| entry["checks"][0]["remediation"]["text"] = json!(" "),
        "no remediation",
    );
    refused(
        |entry| entry["checks"][0]["title"] = json!("MFA"),
        "no title",
    );
    refused(|entry| entry["checks"][0]["why"] = json!(""), "no why");
    refused(
        |entry| entry["checks"][0]["remediation"]["url"] = json!("http://docs.test"),
        "not https",
    );
}

#[test]
fn a_check_that_cannot_be_told_apart() {
    refused(
        |entry| entry["checks"][0]["id"] = json!("other_mfa"),
        "starts with small_",
    );
    refused(
        |entry| entry["checks"][0]["version"] = json!(0),
        "version starts at 1",
    );
    refused(
        |entry| entry["checks"][1]["was"] = json!(["small_mfa"]),
        "there twice",
    );
    refused(
        |entry| entry["checks"][0]["read"] = json!("nothing"),
        "no read nothing",
    );
    refused(
        |entry| entry["checks"][0]["over"] = json!("items"),
        "does not fit",
    );
    refused(
        |entry| drop(entry["checks"][0].as_object_mut().unwrap().remove("pass")),
        "needs `pass`",
    );
    refused(
        |entry| entry["checks"][0]["count"] = json!({ "at_most": 1 }),
        "go together",
    );
}

#[test]
fn what_would_keep_or_send_a_secret() {
    for name in [
        "/client_secret",
        "/a/api_key",
        "/hook/accessToken",
        "/password",
    ] {
        refused(
            |entry| entry["checks"][0]["evidence"] = json!([name]),
            "name of a secret",
        );
        refused(
            |entry| entry["checks"][0]["resource"]["id"] = json!(name),
            "name of a secret",
        );
        refused(
            |entry| entry["checks"][0]["resource"]["name"] = json!(name),
            "name of a secret",
        );
        refused(
            |entry| {
                for read in ["repo", "keys"] {
                    entry["reads"][read]["for_each"]["let"]["repo"] = json!(name);
                }
            },
            "name of a secret",
        );
    }
    refused(
        |entry| entry["settings"] = json!(["account_id", "access_token"]),
        "name of a secret",
    );
    refused(
        |entry| entry["headers"] = json!({ "Authorization": "Bearer x" }),
        "not an entry's to set",
    );
}

#[test]
fn a_request_to_somewhere_else() {
    for url in [
        "https://evil.test/x",
        "http://api.test/x",
        "https://api.test:8443/x",
        "https://api.test@evil.test/x",
        "https://api.test",
    ] {
        refused(|entry| entry["reads"]["account"]["url"] = json!(url), "");
    }
    refused(
        |entry| entry["reads"]["account"]["url"] = json!("https://{account_id}/x"),
        "not https at a host",
    );
    refused(
        |entry| entry["reads"]["account"]["url"] = json!("https://api.test/{who}"),
        "bound by no for_each",
    );
    refused(
        |entry| entry["reads"]["account"]["method"] = json!("delete"),
        "unknown variant",
    );
    refused(
        |entry| entry["reads"]["account"]["body"] = json!({}),
        "a GET has no body",
    );
}

#[test]
fn what_nobody_uses() {
    refused(
        |entry| entry["reads"]["more"] = json!({ "url": "https://api.test/more" }),
        "used by nothing",
    );
    refused(
        |entry| entry["settings"] = json!(["account_id", "region"]),
        "used by nothing",
    );
}

#[test]
fn an_error_that_would_be_read_as_a_fact() {
    refused(
        |entry| entry["reads"]["account"]["answers"] = json!([{ "status": 404, "as": {} }]),
        "has no `when`",
    );
    refused(
        |entry| entry["reads"]["account"]["answers"] = json!([{ "status": 404 }]),
        "either `means` or `as`",
    );
}

#[test]
fn numbers_out_of_the_air_and_verified_by_nothing() {
    refused(
        |entry| entry["checks"][0]["pass"] = json!({ "at": "/mfa", "at_least": 8 }),
        "no `basis`",
    );
    refused(
        |entry| entry["checks"][0]["pass"] = json!({ "at": "/mfa", "older_than": 30 }),
        "no `basis`",
    );
    refused(
        |entry| entry["checks"][2]["count"] = json!({ "at_most": 3 }),
        "no `basis`",
    );
    refused(
        |entry| entry["checks"][0]["state"] = json!("verified"),
        "no source",
    );
}

#[test]
fn reads_below_others_that_do_not_fit() {
    refused(
        |entry| {
            entry["reads"]["repos"]["for_each"] = json!({ "read": "repos", "let": { "x": "/id" } })
        },
        "twice",
    );
    refused(
        |entry| entry["reads"]["keys"]["for_each"]["let"]["repo"] = json!("/name"),
        "two places",
    );
    refused(
        |entry| entry["reads"]["keys"]["for_each"]["let"]["name"] = json!("/name"),
        "item's id",
    );
    refused(
        |entry| entry["reads"]["account"]["pages"] = json!({ "by": "link" }),
        "pages without items",
    );
}

#[test]
fn a_check_over_two_reads_or_in_anothers_stead_that_does_not_fit() {
    let or = |read: &str| json!({ "read": read, "pass": { "at": "/x", "equals": 1 }, "count": { "at_least": 1 } });
    refused(
        |entry| entry["checks"][3]["or"] = or("repos"),
        "asked for other items",
    );
    refused(
        |entry| entry["checks"][3]["or"] = or("account"),
        "adds a list",
    );
    refused(
        |entry| entry["checks"][0]["supersedes"] = json!(["small_key:x"]),
        "no item of an",
    );
    refused(
        |entry| entry["checks"][1]["supersedes"] = json!(["small_key:x"]),
        "only a check of one answer",
    );
}
