//! The scopes of a grant (RFC 6749, 3.3 and 5.1).

use catalogue::Provider;
use serde_json::Value;

/// The most scopes of a grant that are stored, and the longest one.
const COUNT_MAX: usize = 100;
const LENGTH_MAX: usize = 300;
/// The most characters of all.
const ALL_MAX: usize = 8_000;

/// Reads the `scope` of a token response. None: it is absent, so the grant has the requested scopes. Empty: it says nothing that can be
/// understood, so nobody knows. Some providers separate scopes by commas, and some return a list.
pub fn read(scope: Option<&Value>) -> Option<Vec<String>> {
    let scopes: Vec<&str> = match scope? {
        Value::Null => return None,
        Value::String(text) => split(text).collect(),
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .flat_map(split)
            .collect(),
        _ => Vec::new(),
    };
    let of_scope =
        |scope: &&str| scope.len() <= LENGTH_MAX && scope.bytes().all(|b| b.is_ascii_graphic());
    let is_storable = scopes.len() <= COUNT_MAX
        && scopes.iter().all(of_scope)
        && scopes.iter().map(|scope| scope.len() + 1).sum::<usize>() <= ALL_MAX;
    Some(if is_storable {
        scopes.into_iter().map(str::to_owned).collect()
    } else {
        Vec::new()
    })
}

/// The scopes of a text.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|scope| !scope.is_empty())
}

/// The requested scopes that a grant lacks.
pub fn missing<'a>(provider: &'a Provider, granted: &[String]) -> Vec<&'a str> {
    let requested = provider.scopes.iter().map(String::as_str);
    requested
        .filter(|scope| !covers(&provider.kind, granted, scope))
        .collect()
}

/// Whether a grant has a scope, by that name or by another one.
fn covers(kind: &str, granted: &[String], scope: &str) -> bool {
    // These ask for a refresh token, and providers do not list them among what they grant.
    if matches!(scope, "offline_access" | "refresh_token") {
        return true;
    }
    granted.iter().any(|granted| {
        granted == scope
            || match kind {
                "google" => {
                    granted.strip_prefix("https://www.googleapis.com/auth/userinfo.") == Some(scope)
                }
                "microsoft" => granted.strip_prefix("https://graph.microsoft.com/") == Some(scope),
                "github" => includes(granted, scope),
                _ => false,
            }
    })
}

/// GitHub leaves out of a grant what another of its scopes includes ("Normalized scopes" in its documentation).
fn includes(granted: &str, scope: &str) -> bool {
    let level = |scope: &str| match scope.split_once(':')? {
        ("read", what) => Some((1, what.to_owned())),
        ("write", what) => Some((2, what.to_owned())),
        ("admin", what) => Some((3, what.to_owned())),
        _ => None,
    };
    match (level(granted), level(scope)) {
        (Some((granted, of)), Some((needed, what))) if of == what => granted >= needed,
        _ => match granted {
            "user" => matches!(scope, "read:user" | "user:email" | "user:follow"),
            "repo" => matches!(
                scope,
                "repo:status"
                    | "repo_deployment"
                    | "public_repo"
                    | "repo:invite"
                    | "security_events"
            ),
            "project" => scope == "read:project",
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scope_is_read_with_every_separator_and_absent_is_not_empty() {
        let read = |scope: Value| read(Some(&scope));
        let list = |scopes: &[&str]| {
            Some(
                scopes
                    .iter()
                    .map(|scope| (*scope).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(super::read(None), None);
        assert_eq!(read(Value::Null), None);
        assert_eq!(read(json!("read:user  repo")), list(&["read:user", "repo"]));
        assert_eq!(
            read(json!("read:user,repo, gist")),
            list(&["read:user", "repo", "gist"])
        );
        assert_eq!(read(json!(["a b", "c"])), list(&["a", "b", "c"]));
        let long = "x".repeat(301);
        let many = "x ".repeat(101);
        for unknown in [
            json!(""),
            json!(7),
            json!({}),
            json!("a\u{0}"),
            json!("caf\u{e9}"),
            json!(long),
            json!(many),
        ] {
            assert_eq!(read(unknown.clone()), Some(Vec::new()), "{unknown:.40}");
        }
    }

    #[test]
    fn a_requested_scope_is_missing_unless_the_grant_has_it_under_any_of_its_names() {
        let missing = |kind: &str, requested: &[&str], granted: &[&str]| {
            let mut provider = crate::providers::all()
                .unwrap()
                .into_iter()
                .find(|provider| provider.kind == kind)
                .unwrap();
            let owned = |scopes: &[&str]| {
                scopes
                    .iter()
                    .map(|scope| (*scope).to_owned())
                    .collect::<Vec<_>>()
            };
            provider.scopes = owned(requested);
            super::missing(&provider, &owned(granted)).join(" ")
        };
        assert_eq!(
            missing("gitlab", &["read_user", "api"], &["read_user"]),
            "api"
        );
        assert_eq!(missing("gitlab", &["api"], &["API"]), "api");
        assert_eq!(
            missing(
                "atlassian",
                &["offline_access", "read:jira-work"],
                &["read:jira-work"]
            ),
            ""
        );
        assert_eq!(
            missing(
                "google",
                &["openid", "email"],
                &["openid", "https://www.googleapis.com/auth/userinfo.email"]
            ),
            ""
        );
        assert_eq!(
            missing(
                "google",
                &["email"],
                &["https://www.googleapis.com/auth/userinfo.profile"]
            ),
            "email"
        );
        assert_eq!(
            missing(
                "microsoft",
                &["User.Read"],
                &["https://graph.microsoft.com/User.Read"]
            ),
            ""
        );
        assert_eq!(
            missing(
                "github",
                &["read:user", "read:org", "repo"],
                &["user", "admin:org"]
            ),
            "repo"
        );
        assert_eq!(
            missing("github", &["admin:org"], &["write:org"]),
            "admin:org"
        );
    }
}
