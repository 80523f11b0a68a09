//! What an entry that is connected with credentials must say, and what is refused of it at the build.

const ENTRY: &str = r#"{
    "type": "example", "name": "Example", "verified": "2026-11-26", "docs": "https://example.com/docs", "auth": "basic",
    "fields": [
        { "name": "site", "label": "Site", "secret": false, "format": "label" },
        { "name": "api_key", "label": "Key", "secret": true }
    ],
    "basic": { "user": "x", "password": "{api_key}" },
    "identity": {
        "url": "https://{site}.example.com/me", "account": { "id": "{site}", "name": "/name" },
        "stored_as": { "id": "account_id", "name": "account_name" }
    }
}"#;

fn read(text: &str) -> Result<(), String> {
    catalogue::read(text).map(drop)
}

#[test]
fn an_entry_says_what_it_asks_for_and_where_that_goes() {
    read(ENTRY).unwrap();
    let key = ENTRY
        .replace(r#""auth": "basic""#, r#""auth": "api_key""#)
        .replace(
            r#""basic": { "user": "x", "password": "{api_key}" }"#,
            r#""key_headers": { "x-key": "{api_key}" }"#,
        );
    read(&key).unwrap();
    let client = ENTRY
        .replace("\"basic\",", "\"client_credentials\",")
        .replace("api_key", "client_secret")
        .replace("\"site\"", "\"client_id\"")
        .replace("{site}", "{client_id}")
        .replace(
            r#""basic": { "user": "x", "password": "{client_secret}" }"#,
            r#""token_url": "https://{client_id}.example.com/token", "client_auth": "client_secret_post""#,
        );
    read(&client).unwrap();
    for (text, from, to, why) in [
        (&key, "x-key", "cookie", "cookie is no header"),
        (&key, "x-key", "X-Key", "X-Key is no header"),
        (&key, "{api_key}", "Bearer", "no secret is sent"),
        (&client, "\"client_id\"", "\"id\"", "names no field"),
        (
            &client,
            "\"client_auth\": \"client_secret_post\"",
            "\"scopes\": []",
            "missing field `client_auth`",
        ),
        (
            &client,
            "\"client_auth\"",
            "\"token_response_metadata\": [\"x\"], \"client_auth\"",
            "token_response_metadata is of no use",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let refusal = read(&text.replacen(from, to, 1)).unwrap_err();
        assert!(refusal.contains(why), "{to}: {refusal}");
    }
}

#[test]
fn a_malformed_entry_is_refused_and_told_why() {
    for (from, to, why) in [
        ("\"basic\",", "\"password\",", "unknown variant `password`"),
        ("\"basic\",", "\"oauth\",", "missing field `authorize_url`"),
        ("\"basic\",", "\"api_key\",", "missing field `key_headers`"),
        ("\"label\"", "\"title\"", "unknown field `title`"),
        (
            "\"secret\": false",
            "\"secret\": true",
            "secret is not what its name says",
        ),
        (
            "\"secret\": true",
            "\"secret\": false",
            "secret is not what its name says",
        ),
        (
            "\"secret\": true",
            "\"secret\": true, \"format\": \"word\"",
            "a secret is text",
        ),
        ("\"Key\"", "\" \"", "label must be"),
        (
            "\"secret\": true",
            "\"secret\": true, \"max\": 5000",
            "max must be",
        ),
        (
            "\"secret\": true",
            "\"secret\": true, \"help\": \"\"",
            "help 1 to 200",
        ),
        (
            "\"site\"",
            "\"account_id\"",
            "account_id cannot name a field",
        ),
        (
            "\"site\"",
            "\"access_token\"",
            "access_token cannot name a field",
        ),
        ("\"site\"", "\"Site\"", "Site cannot name a field"),
        (
            "\"label\" }",
            "\"text\" }",
            "names no field that may stand there",
        ),
        (
            "\"label\" }",
            "\"word\" }",
            "names no field that may stand there",
        ),
        ("{site}.example.com", "{site}.com", "two labels of its own"),
        (
            "{site}.example.com",
            "api.{site}.example.com",
            "two labels of its own",
        ),
        (
            "{site}.example.com",
            "{site}example.com",
            "two labels of its own",
        ),
        ("{site}.example.com", "{site}", "two labels of its own"),
        (
            "{site}.example.com",
            "{site}.{site}.example.com",
            "two labels of its own",
        ),
        (
            "{site}.example.com",
            "{other}.example.com",
            "names no field",
        ),
        (
            "{site}.example.com",
            "{api_key}.example.com",
            "names no field",
        ),
        ("example.com/me", "example.com/{api_key}", "names no field"),
        (
            "example.com/me",
            "example.com/me?key={site}",
            "must be https",
        ),
        ("https://{site}", "http://{site}", "must be https"),
        (
            "\"id\": \"{site}\"",
            "\"id\": \"{api_key}\"",
            "names no field",
        ),
        ("\"id\": \"{site}\"", "\"id\": \"site\"", "no JSON Pointer"),
        (
            "\"password\": \"{api_key}\"",
            "\"password\": \"\"",
            "no secret is sent",
        ),
        (
            "\"user\": \"x\"",
            "\"user\": \"ü\"",
            "must be printable ASCII",
        ),
        ("\"user\": \"x\"", "\"user\": \"{x\"", "names no field"),
        (
            "\"fields\": [",
            "\"fields\": [{\"name\":\"more\",\"label\":\"x\",\"secret\":false},",
            "more is never used",
        ),
        (
            "\"fields\": [",
            "\"token_url\": \"https://example.com/t\", \"fields\": [",
            "token_url is of no use",
        ),
        (
            "\"fields\": [",
            "\"refresh\": \"reusable\", \"fields\": [",
            "refresh is of no use",
        ),
        (
            "\"fields\": [",
            "\"default_expires_in\": 5, \"fields\": [",
            "default_expires_in is of no use",
        ),
        (
            "\"url\":",
            "\"list\": true, \"url\":",
            "must name one account",
        ),
        (
            "\"url\":",
            "\"style\": \"introspection\", \"url\":",
            "introspection needs a token",
        ),
    ] {
        assert!(ENTRY.contains(from), "{from}");
        let refusal = read(&ENTRY.replacen(from, to, 1)).unwrap_err();
        assert!(refusal.contains(why), "{to}: {refusal}");
    }
}
