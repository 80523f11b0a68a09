//! What must be right about an entry that is not connected by OAuth: what it asks the user for, and where that goes.

use super::check::is_name;
use super::entry::{Auth, IdentityStyle, Provider, Source};
use super::fields::{Field, Format, fill};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashSet;

/// What each kind of entry must say, and what it has no use for.
fn shape(auth: Auth) -> (&'static [&'static str], &'static [&'static str]) {
    const USERS: [&str; 4] = ["fields", "key_headers", "basic", "token_parameters"];
    const APPS: [&str; 8] = [
        "rate_limits",
        "authorize_url",
        "authorize_parameters",
        "pkce",
        "pkce_reason",
        "kept",
        "refresh",
        "invalid_grant",
    ];
    const NO_TOKENS: [&str; 20] = [
        "rate_limits",
        "authorize_url",
        "authorize_parameters",
        "pkce",
        "pkce_reason",
        "kept",
        "refresh",
        "scopes",
        "scope_parameter",
        "scope_separator",
        "token_url",
        "client_auth",
        "token_parameters",
        "token_request",
        "token_answer",
        "token_type",
        "tokens_at",
        "invalid_grant",
        "refused_tries",
        "revocation",
    ];
    match auth {
        Auth::Oauth => (
            &["authorize_url", "token_url", "client_auth", "refresh"],
            &USERS,
        ),
        Auth::ApiKey => (&["fields", "key_headers"], &NO_TOKENS),
        Auth::Basic => (&["fields", "basic"], &NO_TOKENS),
        Auth::ClientCredentials => (&["fields", "token_url", "client_auth"], &APPS),
    }
}

/// Whether the entry has the keys of its kind.
pub fn keys(auth: Auth, entry: &Map<String, Value>) -> Result<(), String> {
    let (needed, useless) = shape(auth);
    if let Some(key) = needed.iter().find(|key| !entry.contains_key(**key)) {
        return Err(format!("missing field `{key}`"));
    }
    if let Some(key) = useless.iter().find(|key| entry.contains_key(**key)) {
        return Err(format!("{key} is of no use where auth is {auth:?}"));
    }
    let other = [
        ("key_headers", Auth::ApiKey),
        ("basic", Auth::Basic),
        ("assumed_lifetime", Auth::ClientCredentials),
    ];
    match other
        .iter()
        .find(|(key, of)| *of != auth && auth != Auth::Oauth && entry.contains_key(*key))
    {
        Some((key, _)) => Err(format!("{key} is of no use where auth is {auth:?}")),
        None => Ok(()),
    }
}

/// Whether the fields are right, and all that is filled with them. `taken` are the config's other keys.
pub fn fields(
    provider: &Provider,
    taken: &HashSet<&str>,
    is_sensitive: impl Fn(&str) -> bool,
) -> Result<(), String> {
    if !(1..=6).contains(&provider.fields.len()) {
        return Err("fields must be 1 to 6".to_owned());
    }
    let mut names = HashSet::new();
    for field in &provider.fields {
        let name = &field.name;
        if !is_name(name) || taken.contains(name.as_str()) || !names.insert(name) {
            return Err(format!("{name} cannot name a field"));
        }
        field_itself(field, &is_sensitive).map_err(|why| format!("field {name}: {why}"))?;
    }
    identity(provider)?;
    let uses = Uses {
        fields: &provider.fields,
        seen: RefCell::default(),
    };
    for url in provider.clone().urls_mut() {
        uses.in_url(url)?;
    }
    let account = &provider.identity.account;
    for text in provider
        .token_parameters
        .values()
        .chain([&account.id, &account.name])
    {
        uses.in_public(text)?;
    }
    let sent: Vec<&String> = match (&provider.basic, provider.auth) {
        (Some(basic), _) => vec![&basic.user, &basic.password],
        (None, _) => provider.key_headers.values().collect(),
    };
    for text in &sent {
        uses.of(text, |_| true)?;
    }
    if provider.auth == Auth::ClientCredentials {
        for name in ["client_id", "client_secret"] {
            uses.of(&format!("{{{name}}}"), |_| true)?;
        }
    } else if !sent.iter().any(|text| {
        let secrets = provider.fields.iter().filter(|field| field.secret);
        secrets
            .into_iter()
            .any(|field| text.contains(&format!("{{{}}}", field.name)))
    }) {
        return Err("no secret is sent".to_owned());
    }
    uses.all()
}

fn field_itself(field: &Field, is_sensitive: impl Fn(&str) -> bool) -> Result<(), &'static str> {
    // Whether it is sealed goes by the name; the entry says it too, so that nobody is mistaken.
    if field.secret != is_sensitive(&field.name) {
        return Err("secret is not what its name says: see docs/format.md");
    }
    if field.secret && field.format != Format::Text {
        return Err("a secret is text: it must not become part of a URL");
    }
    let bounded =
        |text: &str, max| !text.trim().is_empty() && text.len() <= max && text.trim() == text;
    if !bounded(&field.label, 64) || !field.help.as_ref().is_none_or(|help| bounded(help, 200)) {
        return Err("label must be 1 to 64 characters, help 1 to 200");
    }
    if !(1..=4096).contains(&field.max) {
        return Err("max must be 1 to 4096");
    }
    Ok(())
}

fn identity(provider: &Provider) -> Result<(), String> {
    let identity = &provider.identity;
    let has_token = provider.auth == Auth::ClientCredentials;
    if identity.style == IdentityStyle::Introspection && !has_token {
        return Err("introspection needs a token".to_owned());
    }
    if identity.from != Source::Request || identity.list {
        return Err("the identity request must name one account".to_owned());
    }
    Ok(())
}

/// Where fields are put.
struct Uses<'a> {
    fields: &'a [Field],
    seen: RefCell<HashSet<&'a str>>,
}

impl<'a> Uses<'a> {
    /// Takes note of a text in which fields of a certain kind may stand.
    fn of(&self, text: &str, may: impl Fn(&Field) -> bool) -> Result<(), String> {
        let filled = fill(text, |name| {
            let mut fields = self.fields.iter();
            let field = fields.find(|field| field.name == name && may(field))?;
            self.seen.borrow_mut().insert(&field.name);
            Some("x")
        });
        let why = "names no field that may stand there";
        filled.map(drop).ok_or_else(|| format!("{text} {why}"))
    }

    /// A text that is shown, or sent where it may be: no secret stands in it, and nothing that could mean something there.
    fn in_public(&self, text: &str) -> Result<(), String> {
        self.of(text, |field| !field.secret && field.format != Format::Text)
    }

    /// In the host a field stands for the first labels, before two that are the provider's own.
    fn in_url(&self, url: &str) -> Result<(), String> {
        self.in_public(url)?;
        let host = url.split('/').nth(2).unwrap_or_default();
        let Some((before, after)) = host.split_once('{') else {
            return Ok(());
        };
        let rest = after.split_once("}.").map(|(_, rest)| rest);
        let fixed = rest.is_some_and(|rest| rest.split('.').count() >= 2 && !rest.contains('{'));
        if !before.is_empty() || !fixed {
            return Err(format!(
                "{url} must have two labels of its own after the field"
            ));
        }
        self.of(host, |field| {
            matches!(field.format, Format::Label | Format::Labels)
        })
    }

    /// Whether every field is of use.
    fn all(self) -> Result<(), String> {
        let seen = self.seen.into_inner();
        match self
            .fields
            .iter()
            .find(|field| !seen.contains(field.name.as_str()))
        {
            Some(field) => Err(format!("field {} is never used", field.name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::providers::check;

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
        check::read(text, sealed::is_sensitive).map(drop)
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
                r#""token_url": "https://{client_id}.example.com/token", "client_auth": "post""#,
            );
        read(&client).unwrap();
        for (text, from, to, why) in [
            (&key, "x-key", "cookie", "cookie is no header"),
            (&key, "x-key", "X-Key", "X-Key is no header"),
            (&key, "{api_key}", "Bearer", "no secret is sent"),
            (&client, "\"client_id\"", "\"id\"", "names no field"),
            (
                &client,
                "\"client_auth\": \"post\"",
                "\"scopes\": []",
                "missing field `client_auth`",
            ),
            (
                &client,
                "\"client_auth\"",
                "\"kept\": [\"x\"], \"client_auth\"",
                "kept is of no use",
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
                "\"refresh\": \"keeps\", \"fields\": [",
                "refresh is of no use",
            ),
            (
                "\"fields\": [",
                "\"assumed_lifetime\": 5, \"fields\": [",
                "assumed_lifetime is of no use",
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
}
