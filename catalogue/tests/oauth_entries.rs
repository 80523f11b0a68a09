//! What an entry that is connected by OAuth must say, and what is refused of it at the build.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use catalogue::{Encoding, Endpoint, Entry, Pkce, Refresh};

const ENTRY: &str = r#"{
    "type": "example", "name": "Example", "verified": "2026-11-23", "docs": "https://example.com/docs",
    "authorize_url": "https://example.com/authorize", "token_url": "https://example.com/token", "client_auth": "client_secret_post",
    "refresh": "reusable",
    "identity": {
        "url": "https://api.example.com/me", "account": { "id": "/id", "name": "/name" },
        "stored_as": { "id": "account_id", "name": "account_name" }
    }
}"#;

fn refusal(from: &str, to: &str) -> String {
    assert!(ENTRY.contains(from), "{from}");
    catalogue::read(&ENTRY.replacen(from, to, 1)).unwrap_err()
}

#[test]
fn an_entry_needs_a_few_fields_only() {
    let Entry {
        provider, about, ..
    } = catalogue::read(ENTRY).unwrap();
    assert_eq!(provider.pkce, Pkce::S256);
    assert_eq!(
        (
            provider.token_request_format,
            provider.token_response_format
        ),
        (Encoding::Form, Encoding::Json)
    );
    assert_eq!(provider.refresh, Refresh::Reusable);
    assert_eq!(about.verified.to_string(), "2026-11-23");
}

#[test]
fn it_takes_several_organizations_to_pause_a_type_unless_the_entry_knows_better() {
    let of = |limits: &str| {
        let entry = format!("{limits}\"client_auth\"");
        let entry = ENTRY.replacen("\"client_auth\"", &entry, 1);
        let provider = catalogue::read(&entry).unwrap().provider;
        [Endpoint::Token, Endpoint::Api].map(|endpoint| provider.pauses_after(endpoint))
    };
    assert_eq!(of(""), [Some(3), Some(3)]);
    assert_eq!(of(r#""rate_limits": {"api": "user"},"#), [Some(3), None]);
    let both = r#""rate_limits": {"token": "app", "api": "app"},"#;
    assert_eq!(of(both), [Some(1), Some(2)]);
    let own = include_str!("../providers/stripe.json");
    let own = catalogue::read(own).unwrap().provider;
    assert_eq!(own.pauses_after(Endpoint::Api), None);
}

#[test]
fn a_malformed_entry_is_refused_and_told_why() {
    for (from, to, why) in [
        (
            "\"client_secret_post\"",
            "\"posted\"",
            "unknown variant `posted`",
        ),
        (
            "\"client_auth\"",
            "\"client_authentication\"",
            "unknown field `client_authentication`",
        ),
        ("\"refresh\": \"reusable\",", "", "missing field `refresh`"),
        (
            "2026-11-23",
            "23.11.2026",
            "input contains invalid characters",
        ),
        ("https://example.com/docs", "example.com", "docs"),
        (
            "\"type\": \"example\"",
            "\"type\": \"Example\"",
            "type must be",
        ),
        (
            "https://example.com/token",
            "http://example.com/token",
            "must be https",
        ),
        (
            "https://example.com/token",
            "https://example.com/token?x=1",
            "must be https",
        ),
        (
            "https://example.com/token",
            "https://example.com/authorize",
            "the path of another endpoint",
        ),
        (
            "https://example.com/token",
            "https://{slug}/token",
            "must name a host",
        ),
        (
            "https://example.com/token",
            "https://example.com/{tenant}/token",
            "{slug} and {client_id} only",
        ),
        ("\"/id\"", "\"id\"", "no JSON Pointer"),
        ("account_id", "account_key", "cannot name a plaintext key"),
        ("account_id", "access_token", "cannot name a plaintext key"),
        ("account_id", "account_name", "cannot name a plaintext key"),
        ("account_id", "scope", "cannot name a plaintext key"),
        (
            "\"client_auth\"",
            "\"token_response_metadata\": [\"id_token\"], \"client_auth\"",
            "cannot name a plaintext key",
        ),
        (
            "\"client_auth\"",
            "\"pkce\": \"none\", \"client_auth\"",
            "pkce_reason",
        ),
        (
            "\"client_auth\"",
            "\"pkce\": \"none\", \"pkce_reason\": \" \", \"client_auth\"",
            "pkce_reason",
        ),
        (
            "\"client_auth\"",
            "\"pkce_reason\": \"x\", \"client_auth\"",
            "pkce_reason",
        ),
        (
            "\"client_auth\"",
            "\"invalid_grant\": [{\"status\": 400}], \"client_auth\"",
            "code, with or without",
        ),
        (
            "\"client_auth\"",
            "\"invalid_grant\": [{\"code\": \"x\", \"text\": \"y\"}], \"client_auth\"",
            "code, with or without",
        ),
        (
            "\"client_auth\"",
            "\"invalid_grant\": [{\"status\": 429, \"code\": \"x\"}], \"client_auth\"",
            "but 429",
        ),
        (
            "\"client_auth\"",
            "\"invalid_grant\": [{\"code\": \"x\", \"at\": \"status\"}], \"client_auth\"",
            "no JSON Pointer",
        ),
        (
            "\"client_auth\"",
            "\"invalid_grant\": [{\"code\": \"x\", \"description\": \" \"}], \"client_auth\"",
            "must say something",
        ),
        (
            "\"client_auth\"",
            "\"invalid_grant\": [{\"code\": \"invalid_client\"}], \"client_auth\"",
            "it may mean our client",
        ),
        (
            "\"client_auth\"",
            "\"invalid_grant\": [{\"error\": \"x\"}], \"client_auth\"",
            "unknown field `error`",
        ),
        (
            "\"account\"",
            "\"account_url\": \"https://api.example.com/me/{account_id}\", \"account\"",
            "beside a list",
        ),
        (
            "\"account\"",
            "\"list\": true, \"account_url\": \"https://api.example.com/all\", \"account\"",
            "{account_id} once",
        ),
        (
            "\"account\"",
            "\"list\": true, \"account_url\": \"http://api.example.com/{account_id}\", \"account\"",
            "must be https",
        ),
        (
            "https://example.com/token",
            "https://example.com/{account_id}/token",
            "{slug} and {client_id} only",
        ),
        (
            "\"client_auth\"",
            "\"rate_limits\": {\"api\": \"tenant\"}, \"client_auth\"",
            "unknown variant `tenant`",
        ),
        (
            "\"client_auth\"",
            "\"rate_limits\": {\"revocation\": \"app\"}, \"client_auth\"",
            "unknown field `revocation`",
        ),
        (
            "\"client_auth\"",
            "\"refused_tries\": 1, \"client_auth\"",
            "refused_tries must be",
        ),
        (
            "\"client_auth\"",
            "\"forbidden_days\": 366, \"client_auth\"",
            "forbidden_days 0 to 365",
        ),
        (
            "\"client_auth\"",
            "\"pkce\": \"plain\", \"client_auth\"",
            "unknown variant `plain`",
        ),
        (
            "\"client_auth\"",
            "\"authorize_parameters\": {\"state\": \"x\"}, \"client_auth\"",
            "must not set state",
        ),
        (
            "\"client_auth\"",
            "\"headers\": {\"cookie\": \"x\"}, \"client_auth\"",
            "cookie is no header of an entry",
        ),
        (
            "\"url\": \"https://api",
            "\"style\": \"graphql\", \"url\": \"https://api",
            "has a query",
        ),
        (
            "\"url\": \"https://api",
            "\"query\": \"{ me }\", \"url\": \"https://api",
            "has a query",
        ),
        ("}", "", "EOF"),
    ] {
        let refusal = refusal(from, to);
        assert!(refusal.contains(why), "{to}: {refusal}");
    }
}
