//! Checks an entry beyond its structure.

use crate::about::About;
use crate::check_fields::{self, is_name};
use crate::entry::{Auth, IdentityStyle, Pkce, Provider, Refresh, RefusedGrant};
use sealed::is_sensitive;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// `keys` are all keys that the entry has.
pub fn entry(provider: &Provider, about: &About, keys: &Map<String, Value>) -> Result<(), String> {
    check_fields::keys(provider.auth, keys)?;
    provider_itself(provider)?;
    let is_explained = about
        .pkce_reason
        .as_ref()
        .map(|reason| !reason.trim().is_empty());
    if is_explained != (provider.pkce == Pkce::None).then_some(true) {
        return Err(
            "pkce_reason must say where the provider documents that it refuses a challenge, and stand beside `\"pkce\": \"none\"` only"
                .to_owned(),
        );
    }
    if !about.docs.starts_with("https://") {
        return Err("docs must be an https URL".to_owned());
    }
    if about
        .note
        .as_ref()
        .is_some_and(|note| note.trim().is_empty())
    {
        return Err("note must say something, or be left out".to_owned());
    }
    let refreshed = provider.refresh != Refresh::None || provider.auth == Auth::ClientCredentials;
    if !refreshed && provider.default_expires_in.is_some() {
        return Err("default_expires_in is of no use where nothing can be refreshed".to_owned());
    }
    Ok(())
}

fn provider_itself(provider: &Provider) -> Result<(), String> {
    if !is_name(&provider.kind) {
        return Err("type must be lower-case letters, digits and underscores".to_owned());
    }
    if provider.name.trim().is_empty() || provider.name.len() > 64 {
        return Err("name must be 1 to 64 characters".to_owned());
    }
    let mut paths = HashSet::new();
    for url in provider.clone().urls_mut() {
        let path = url
            .strip_prefix("https://")
            .and_then(|rest| rest.split_once('/'));
        let Some((host, path)) = path.filter(|_| !url.contains(['?', '#'])) else {
            return Err(format!(
                "{url} must be https, with a path and without query"
            ));
        };
        // check_fields.rs checks a user's field in a host.
        let open = provider.auth == Auth::Oauth && host.contains('{');
        if host.is_empty() || open || host.contains(['@', ':']) {
            return Err(format!(
                "{url} must name a host, and nothing but it, before its path"
            ));
        }
        // `<TYPE>_BASE_URL` moves all endpoints to one origin.
        if !paths.insert(path.to_owned()) {
            return Err(format!("{url} has the path of another endpoint"));
        }
        if provider.auth != Auth::Oauth {
            continue;
        }
        let is_of_account = provider.identity.account_url.as_ref() == Some(&*url);
        for part in path.split('{').skip(1) {
            let known = match part.split_once('}') {
                Some(("slug" | "client_id", _)) => true,
                Some(("account_id", _)) => is_of_account,
                _ => false,
            };
            if !known {
                return Err(format!("{url} may hold {{slug}} and {{client_id}} only"));
            }
        }
    }
    for name in provider.authorize_parameters.keys() {
        const OURS: [&str; 7] = [
            "response_type",
            "client_id",
            "redirect_uri",
            "state",
            "code_challenge",
            "code_challenge_method",
            "scope",
        ];
        if OURS.contains(&name.as_str()) || *name == provider.scope_parameter {
            return Err(format!("authorize_parameters must not set {name}"));
        }
    }
    if !is_name(&provider.scope_parameter) {
        return Err(
            "scope_parameter must be lower-case letters, digits and underscores".to_owned(),
        );
    }
    for refused in &provider.invalid_grant {
        refused_grant(refused)?;
    }
    if !(2..=1_000).contains(&provider.refused_tries) || provider.forbidden_days > 365 {
        return Err("refused_tries must be 2 to 1000, forbidden_days 0 to 365".to_owned());
    }
    let identity = &provider.identity;
    let of_users = |text: &&String| provider.auth == Auth::Oauth || !text.contains('{');
    let pointers = [&identity.account.id, &identity.account.name].into_iter();
    let pointers = pointers.filter(of_users);
    let optional = [
        Some(&provider.token_response_path),
        provider.success_flag.as_ref(),
    ]
    .into_iter()
    .flatten();
    for pointer in pointers.chain(optional.filter(|pointer| !pointer.is_empty())) {
        if !pointer.starts_with('/') || pointer.ends_with('/') {
            return Err(format!("{pointer} is no JSON Pointer to a field"));
        }
    }
    let mut keys: HashSet<&str> = [
        "access_token",
        "refresh_token",
        "expires_at",
        "scope",
        "_enc",
    ]
    .into();
    for key in [&identity.stored_as.id, &identity.stored_as.name]
        .into_iter()
        .chain(&provider.token_response_metadata)
    {
        if !is_name(key) || is_sensitive(key) || !keys.insert(key) {
            return Err(format!("{key} cannot name a plaintext key of the config"));
        }
    }
    if let Some(url) = &identity.account_url {
        let is_list = identity.list && identity.style == IdentityStyle::Get;
        if !is_list || provider.auth != Auth::Oauth || url.matches("{account_id}").count() != 1 {
            return Err(
                "account_url must hold {account_id} once, and stand beside a list that is asked for with GET"
                    .to_owned(),
            );
        }
    }
    if identity.query.is_some() != (identity.style == IdentityStyle::Graphql) {
        return Err("identity has a query if its style is graphql, and only then".to_owned());
    }
    let headers = || provider.headers.iter().chain(&identity.headers);
    let of_key = provider.key_headers.keys();
    let of_key = of_key.filter(|name| name.as_str() != "authorization");
    if let Some(name) = headers()
        .map(|(name, _)| name)
        .chain(of_key)
        .find(|name| !name.is_free())
    {
        return Err(format!("{} is no header of an entry", name.as_str()));
    }
    let texts = provider.basic.iter();
    let texts = texts.flat_map(|basic| [&basic.user, &basic.password]);
    if !texts.into_iter().all(|text| is_ascii(text)) {
        return Err("user and password must be printable ASCII".to_owned());
    }
    for value in headers()
        .map(|(_, value)| value)
        .chain(provider.key_headers.values())
    {
        if value.is_empty() || !is_ascii(value) {
            return Err("a header must be printable ASCII".to_owned());
        }
    }
    if provider.auth == Auth::Oauth {
        return Ok(());
    }
    check_fields::fields(provider, &keys)
}

fn refused_grant(refused: &RefusedGrant) -> Result<(), String> {
    // These errors concern the client, which may be ours: a wrong client secret must not end every grant.
    const OF_CLIENT: [&str; 2] = ["invalid_client", "unauthorized_client"];
    let RefusedGrant {
        status,
        at,
        code,
        description,
        text,
    } = refused;
    if !status.is_none_or(|status| status == 200 || (400..=599).contains(&status) && status != 429)
    {
        return Err("invalid_grant: status must be 200 or one of 4xx and 5xx but 429".to_owned());
    }
    if !at.starts_with('/') || at.ends_with('/') {
        return Err(format!("invalid_grant: {at} is no JSON Pointer to a field"));
    }
    if code.is_some() == text.is_some() || text.is_some() && description.is_some() {
        return Err("invalid_grant: code, with or without description, or text".to_owned());
    }
    if [code, description, text]
        .into_iter()
        .flatten()
        .any(|text| text.trim().is_empty())
    {
        return Err("invalid_grant: a text must say something".to_owned());
    }
    let is_of_client = code
        .as_ref()
        .is_some_and(|code| OF_CLIENT.contains(&code.as_str()));
    if is_of_client && description.is_none() {
        return Err(format!(
            "invalid_grant: {} needs a description: alone it may mean our client",
            code.as_deref().unwrap_or_default()
        ));
    }
    Ok(())
}

fn is_ascii(text: &str) -> bool {
    text.bytes().all(|b| (b' '..=b'~').contains(&b))
}
