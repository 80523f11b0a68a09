//! Checks an entry that is not connected by OAuth: the fields that the user enters, and where they are sent.

use crate::entry::{Auth, IdentityStyle, Provider, Source};
use crate::fields::{Field, Format, fill};
use sealed::is_sensitive;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashSet;

/// The keys that each kind of entry must have, and those that it cannot have.
fn shape(auth: Auth) -> (&'static [&'static str], &'static [&'static str]) {
    const USERS: [&str; 4] = ["fields", "key_headers", "basic", "token_parameters"];
    const APPS: [&str; 8] = [
        "rate_limits",
        "authorize_url",
        "authorize_parameters",
        "pkce",
        "pkce_reason",
        "token_response_metadata",
        "refresh",
        "invalid_grant",
    ];
    const NO_TOKENS: [&str; 20] = [
        "rate_limits",
        "authorize_url",
        "authorize_parameters",
        "pkce",
        "pkce_reason",
        "token_response_metadata",
        "refresh",
        "scopes",
        "scope_parameter",
        "scope_separator",
        "token_url",
        "client_auth",
        "token_parameters",
        "token_request_format",
        "token_response_format",
        "token_type",
        "token_response_path",
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
        ("default_expires_in", Auth::ClientCredentials),
    ];
    match other
        .iter()
        .find(|(key, of)| *of != auth && auth != Auth::Oauth && entry.contains_key(*key))
    {
        Some((key, _)) => Err(format!("{key} is of no use where auth is {auth:?}")),
        None => Ok(()),
    }
}

/// Checks the fields, and every text that is filled with them. `taken` are the config's other keys.
pub fn fields(provider: &Provider, taken: &HashSet<&str>) -> Result<(), String> {
    if !(1..=6).contains(&provider.fields.len()) {
        return Err("fields must be 1 to 6".to_owned());
    }
    let mut names = HashSet::new();
    for field in &provider.fields {
        let name = &field.name;
        if !is_name(name) || taken.contains(name.as_str()) || !names.insert(name) {
            return Err(format!("{name} cannot name a field"));
        }
        field_itself(field).map_err(|why| format!("field {name}: {why}"))?;
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

fn field_itself(field: &Field) -> Result<(), &'static str> {
    // The name decides whether a field is sealed. The entry repeats it, so that its author is not mistaken.
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

/// The texts that contain fields.
struct Uses<'a> {
    fields: &'a [Field],
    seen: RefCell<HashSet<&'a str>>,
}

impl<'a> Uses<'a> {
    /// Records a text in which fields of a certain kind may appear.
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

    /// A text that is shown or sent in the clear: it holds no secret, and no character with a meaning in a URL.
    fn in_public(&self, text: &str) -> Result<(), String> {
        self.of(text, |field| !field.secret && field.format != Format::Text)
    }

    /// In a host, a field stands for the first labels. At least two fixed labels of the provider follow.
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

pub fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(fine)
}
