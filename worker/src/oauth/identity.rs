//! The account of a grant. The provider names it, never the browser.

use crate::display_name::{cleaned, confusing};
use crate::error::{ClientError, Error, Result};
use crate::http::{HttpRequest, HttpResponse, SendError};
use crate::oauth::client::{post, set_headers, with_bearer, with_json};
use crate::oauth::response::{is_success, no_answer, parse};
use crate::offer::Offer;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use catalogue::{Auth, Identity, IdentityStyle, Provider, Source, fill};
use sealed::{PlainConfig, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An account at the provider; at Supabase, a project.
#[derive(Deserialize, Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The stable id.
    pub id: String,
    /// The name that people see.
    pub name: String,
}

/// The most accounts that one grant may cover.
const ACCOUNTS_MAX: usize = 1_000;
/// The largest response that names one account, and the largest that names `ACCOUNTS_MAX`, in bytes. A Supabase project takes 400.
const LIMIT: u32 = 128 * 1024;
const LIST_LIMIT: u32 = 512 * 1024;
/// The longest id, in characters. The database has the same bound.
const ID_MAX: usize = 200;

/// Builds the identity request, which only a valid credential can make. None if the config holds no such credential.
pub fn request(offer: &Offer, config: &PlainConfig) -> Option<HttpRequest> {
    let provider = offer.provider_of(config)?;
    let identity = &provider.identity;
    let post = post(&provider, &identity.url);
    let mut request = match identity.style {
        IdentityStyle::Get => HttpRequest {
            method: "GET",
            ..signed(&provider, config, post)?
        },
        IdentityStyle::Post => signed(&provider, config, post)?,
        IdentityStyle::Graphql => {
            let query = identity.query.as_deref().unwrap_or_default();
            with_json(signed(&provider, config, post)?, &[("query", query)])
        }
        IdentityStyle::Introspection => offer.client(config)?.authenticated(
            &identity.url,
            &[
                ("token", config.get_str("access_token")?),
                ("token_type_hint", "access_token"),
            ],
        ),
    };
    set_headers(&mut request, &identity.headers);
    request.limit = if identity.list { LIST_LIMIT } else { LIMIT };
    Some(request)
}

/// The accounts that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// All accounts of the credential.
    All,
    /// One account, by its id.
    One,
}

/// Builds the request for one account. None if the entry has no such request, or the config no credential.
pub fn account_request(offer: &Offer, config: &PlainConfig, account: &str) -> Option<HttpRequest> {
    let provider = offer.provider_of(config)?;
    let identity = &provider.identity;
    // An id with other characters would be another path.
    if matches!(account, "" | "." | "..") {
        return None;
    }
    let account: String = form_urlencoded::byte_serialize(account.as_bytes()).collect();
    let url = identity
        .account_url
        .as_ref()?
        .replace("{account_id}", &account.replace('+', "%20"));
    let mut request = HttpRequest {
        method: "GET",
        ..signed(&provider, config, post(&provider, &url))?
    };
    set_headers(&mut request, &identity.headers);
    Some(request)
}

/// Adds the config's credential to the request.
fn signed(
    provider: &Provider,
    config: &PlainConfig,
    mut request: HttpRequest,
) -> Option<HttpRequest> {
    let filled = |text: &str| fill(text, |name| config.get_str(name));
    match (&provider.basic, provider.auth) {
        (Some(basic), Auth::Basic) => {
            // Not encoded (RFC 7617, 2), unlike a client's id and secret at a token endpoint.
            let pair = format!("{}:{}", filled(&basic.user)?, filled(&basic.password)?);
            let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
            request.headers.push(("authorization", value));
        }
        (_, Auth::Basic) => return None,
        (_, Auth::ApiKey) => {
            for (name, text) in &provider.key_headers {
                request.headers.push((name.as_str(), filled(text)?));
            }
        }
        (_, Auth::Oauth | Auth::ClientCredentials) => {
            let token = Secret::from(config.get_str("access_token")?.to_owned());
            request = with_bearer(request, &token);
        }
    }
    Some(request)
}

/// Reads the accounts, at least one. If this response does not name the account (see [`Source`]), it is the config's.
pub fn read(
    offer: &Offer,
    config: &PlainConfig,
    answer: Result<HttpResponse, SendError>,
    asked: Asked,
) -> Result<Vec<Account>> {
    let provider = offer.provider_of(config).ok_or_else(|| Error::Internal {
        detail: "config: a field of the credentials is missing or malformed".to_owned(),
    })?;
    let answer = answer.map_err(|error| no_answer("identity endpoint", error))?;
    if answer.status != 200 || !answer.is_json() {
        return Err(Error::Provider {
            detail: format!("identity endpoint: answered {}, or no JSON", answer.status).into(),
        });
    }
    let body =
        parse(&answer.body).ok_or(Error::provider("identity endpoint: the answer is not JSON"))?;
    // RFC 7662, 2.2: the response for an invalid token has status 200.
    let is_inactive = provider.identity.style == IdentityStyle::Introspection
        && body.get("active") == Some(&Value::Bool(false));
    if is_inactive || !is_success(&provider, &body) {
        return Err(Error::provider("identity endpoint: answered a failure"));
    }
    if provider.identity.from == Source::TokenResponse {
        return stored(&provider.identity, config).map(|account| vec![account]);
    }
    let is_list = provider.identity.list && asked == Asked::All;
    let items = match &body {
        Value::Array(items) if is_list => items.as_slice(),
        Value::Object(_) if !is_list => std::slice::from_ref(&body),
        _ => {
            return Err(Error::provider(
                "identity endpoint: one account for a list, or a list for one",
            ));
        }
    };
    if items.len() > ACCOUNTS_MAX {
        return Err(Error::provider(
            "identity endpoint: more than 1,000 accounts in one grant",
        ));
    }
    if items.is_empty() {
        return Err(ClientError::NoAccounts.into());
    }
    items
        .iter()
        .map(|item| {
            account(&provider.identity, item)
                .ok_or(Error::provider("identity endpoint: an account without id"))
        })
        .collect()
}

/// The account in a config.
fn stored(identity: &Identity, config: &PlainConfig) -> Result<Account> {
    let text = |key: &str| config.get_str(key).map(str::to_owned);
    let id = text(&identity.stored_as.id).ok_or(Error::Internal {
        detail: format!("config: {} is missing", identity.stored_as.id),
    })?;
    let name = text(&identity.stored_as.name).unwrap_or_else(|| id.clone());
    Ok(Account { id, name })
}

/// The account in a response.
pub(super) fn account(identity: &Identity, item: &Value) -> Option<Account> {
    let text = |pointer: &str| match item.pointer(pointer)? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    // A text that is no pointer contains the user's fields, already filled in.
    let text = |text_or_pointer: &str| match text_or_pointer.starts_with('/') {
        true => text(text_or_pointer),
        false => Some(text_or_pointer.to_owned()),
    };
    let id = text(&identity.account.id)
        .filter(|id| !id.is_empty() && id.chars().count() <= ID_MAX && !id.contains(confusing))?;
    let name = text(&identity.account.name)
        .map(|name| cleaned(&name))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| id.clone());
    Some(Account { id, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::client::tests::client;
    use serde_json::json;

    fn config(fields: Value) -> PlainConfig {
        match fields {
            Value::Object(map) => PlainConfig::from_map(map),
            _ => panic!("no config"),
        }
    }

    fn accounts(kind: &str, status: u16, body: &str) -> Result<Vec<Account>> {
        let answer = HttpResponse {
            status,
            content_type: "application/json".into(),
            body: body.into(),
        };
        let config = config(json!({"team_id": "T", "team_name": "Team"}));
        read(&Offer::OAuth(client(kind)), &config, Ok(answer), Asked::All)
    }

    fn account(id: &str, name: &str) -> Account {
        Account {
            id: id.into(),
            name: name.into(),
        }
    }

    #[test]
    fn a_list_and_a_single_account_are_read() {
        let projects = r#"[{"ref":"abc","name":"My Project","id":"old"},{"ref":"def","name":" "}]"#;
        assert_eq!(
            accounts("supabase", 200, projects).unwrap(),
            [account("abc", "My Project"), account("def", "def")]
        );
        assert_eq!(
            accounts("gitlab", 200, r#"{"id":7,"username":"jo\u0007\u202e"}"#).unwrap(),
            [account("7", "jo")]
        );
        // As floats the two ids would be equal.
        for id in ["18446744073709551617", "18446744073709551618"] {
            let user = format!(r#"{{"id":{id},"username":"jo"}}"#);
            assert_eq!(accounts("gitlab", 200, &user).unwrap(), [account(id, "jo")]);
        }
    }

    #[test]
    fn an_answer_without_account_is_no_success() {
        assert!(matches!(
            accounts("supabase", 200, "[]"),
            Err(Error::Client(ClientError::NoAccounts))
        ));
        for (status, body) in [
            (200, "{}"),
            (200, "null"),
            (200, r#"[{"name":"x"}]"#),
            (200, r#"[{"ref":""}]"#),
            (200, "<"),
            (401, "[]"),
            (500, ""),
        ] {
            assert!(
                matches!(
                    accounts("supabase", status, body),
                    Err(Error::Provider { .. })
                ),
                "{status} {body}"
            );
        }
        let long = format!(r#"[{{"ref":"{}"}}]"#, "x".repeat(ID_MAX + 1));
        assert!(accounts("supabase", 200, &long).is_err());
    }

    #[test]
    fn each_style_asks_in_its_own_way() {
        let config = config(json!({"access_token": "planted"}));
        let request = |kind| request(&Offer::OAuth(client(kind)), &config).unwrap();
        let get = request("heroku");
        let headers: Vec<_> = get
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(get.method, "GET");
        assert_eq!(
            headers,
            [
                "authorization: Bearer planted",
                "accept: application/vnd.heroku+json; version=3"
            ]
        );
        let post = request("dropbox");
        assert!(post.method == "POST" && post.body.is_none());
        let graphql = request("linear");
        assert_eq!(
            graphql.body.as_deref(),
            Some(r#"{"query":"{ organization { id name } }"}"#)
        );
        let introspection = request("hubspot");
        assert!(
            introspection
                .headers
                .iter()
                .all(|(name, _)| *name != "authorization")
        );
        assert!(
            introspection
                .body
                .unwrap()
                .starts_with("token=planted&token_type_hint=access_token&client_id=")
        );
    }

    #[test]
    fn a_list_is_wanted_where_the_entry_says_so_and_only_there() {
        assert!(accounts("supabase", 200, r#"{"ref":"abc","name":"x"}"#).is_err());
        assert!(accounts("gitlab", 200, r#"[{"id":7}]"#).is_err());
        let nested = r#"{"data":{"organization":{"id":"o","name":"Org"}}}"#;
        assert_eq!(
            accounts("linear", 200, nested).unwrap(),
            [account("o", "Org")]
        );
        assert!(accounts("linear", 200, r#"{"data":null,"errors":[{"message":"x"}]}"#).is_err());
        assert!(accounts("slack", 200, r#"{"ok":false,"team":{"id":"T","name":"x"}}"#).is_err());
    }

    #[test]
    fn an_answer_that_names_no_account_stands_for_the_configs() {
        assert_eq!(
            accounts("slack", 200, r#"{"ok":true,"team_id":"T"}"#).unwrap(),
            [account("T", "Team")]
        );
        assert!(accounts("slack", 200, r#"{"ok":false,"error":"token_revoked"}"#).is_err());
    }

    #[test]
    fn a_token_that_is_not_active_is_none() {
        for (body, is_good) in [
            (r#"{"active":true,"hub_id":7,"hub_domain":"x"}"#, true),
            (r#"{"active":false,"hub_id":7}"#, false),
            (r#"{"active":false}"#, false),
        ] {
            assert_eq!(accounts("hubspot", 200, body).is_ok(), is_good, "{body}");
        }
    }

    #[test]
    fn one_account_is_asked_for_by_its_id_where_the_entry_says_how() {
        let config = config(json!({"access_token": "planted"}));
        let url = |kind, id| {
            let request = account_request(&Offer::OAuth(client(kind)), &config, id)?;
            assert_eq!(request.method, "GET");
            Some(request.url)
        };
        let base = "https://api.supabase.com/v1/projects/";
        for (id, path) in [("abc", "abc"), ("a/../b c?d#e", "a%2F..%2Fb%20c%3Fd%23e")] {
            assert_eq!(url("supabase", id), Some(format!("{base}{path}")), "{id}");
        }
        for id in ["", ".", ".."] {
            assert_eq!(url("supabase", id), None, "{id}");
        }
        assert_eq!(url("gitlab", "7"), None);
    }

    #[test]
    fn without_a_token_there_is_nothing_to_ask_with() {
        let config = config(json!({"refresh_token": "planted"}));
        assert!(request(&Offer::OAuth(client("gitlab")), &config).is_none());
    }
}
