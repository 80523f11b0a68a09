//! Which account a grant is for: the provider's own answer, never what the browser says.

use super::token::no_answer;
use super::{Client, TIMEOUT_MS};
use crate::error::{Error, Refusal, Result};
use crate::http::{Inbound, Outbound, SendError};
use crate::providers::Identity;
use sealed::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An account at the provider: at Supabase, a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What never changes.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// The most accounts that one grant may cover.
const ACCOUNTS_MAX: usize = 1_000;
/// The longest id, in bytes; none is known that comes near.
const ID_MAX: usize = 255;
/// The longest name, in characters; a longer one is cut.
const NAME_MAX: usize = 200;

/// Builds the request.
pub fn request(client: &Client, access_token: &Secret) -> Outbound {
    Outbound {
        method: "GET",
        url: client.provider.identity.url.clone(),
        headers: vec![
            ("accept", "application/json".to_owned()),
            ("authorization", format!("Bearer {}", access_token.expose())),
        ],
        body: None,
        timeout_ms: TIMEOUT_MS,
        limit: 4 * 1024 * 1024,
    }
}

/// Reads the accounts, of which there is at least one.
pub fn read(identity: &Identity, answer: Result<Inbound, SendError>) -> Result<Vec<Account>> {
    let answer = answer.map_err(|error| no_answer("identity endpoint", error))?;
    if answer.status != 200 || !answer.is_json() {
        return Err(Error::Provider {
            detail: format!("identity endpoint: answered {}, or no JSON", answer.status).into(),
        });
    }
    let body: Value = serde_json::from_str(&answer.body)
        .map_err(|_| Error::provider("identity endpoint: the answer is not JSON"))?;
    let items = match &body {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    if items.len() > ACCOUNTS_MAX {
        return Err(Error::provider(
            "identity endpoint: more than 1,000 accounts in one grant",
        ));
    }
    if items.is_empty() {
        return Err(Refusal::NoAccounts.into());
    }
    items
        .iter()
        .map(|item| {
            account(identity, item)
                .ok_or(Error::provider("identity endpoint: an account without id"))
        })
        .collect()
}

fn account(identity: &Identity, item: &Value) -> Option<Account> {
    let text = |pointer: &str| match item.pointer(pointer)? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let id = text(&identity.account.id)
        .filter(|id| !id.is_empty() && id.len() <= ID_MAX && !id.contains('\0'))?;
    let name = text(&identity.account.name)
        .map(|name| {
            name.chars()
                .filter(|c| !c.is_control())
                .take(NAME_MAX)
                .collect::<String>()
        })
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| id.clone());
    Some(Account { id, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::client;

    fn accounts(kind: &str, status: u16, body: &str) -> Result<Vec<Account>> {
        let answer = Inbound {
            status,
            content_type: "application/json".into(),
            body: body.into(),
        };
        read(&client(kind).provider.identity, Ok(answer))
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
            accounts("gitlab", 200, r#"{"id":7,"username":"jo\u0007"}"#).unwrap(),
            [account("7", "jo")]
        );
    }

    #[test]
    fn an_answer_without_account_is_no_success() {
        assert!(matches!(
            accounts("supabase", 200, "[]"),
            Err(Error::Caller(Refusal::NoAccounts))
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
}
