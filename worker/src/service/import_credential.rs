//! The credential of an import: read into a config, as the entry of its type has it.

use crate::connect::credential_fields;
use crate::credentials;
use crate::error::{ClientError, Error, Result};
use crate::oauth::{Grant, scopes, token};
use catalogue::{Auth, Provider, Refresh};
use chrono::{DateTime, TimeDelta, Utc};
use sealed::{PlainConfig, Secret};
use serde_json::{Map, Value};

/// What a grant consists of, beside what the entry stores of a token response.
const GRANT: [&str; 4] = ["access_token", "refresh_token", "expires_at", "scope"];

/// When a token of unknown expiry counts as expired, if it can be refreshed: the schedule refreshes it in its next run, and the response says
/// how long the new one lives. Otherwise nobody would refresh it before it fails.
const UNKNOWN_LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// Reads a credential. A member that the type does not have is rejected: it may be one that is misspelt.
pub fn read(
    provider: &Provider,
    given: Map<String, Value>,
    now: DateTime<Utc>,
) -> Result<PlainConfig> {
    match provider.auth {
        Auth::Oauth => grant(provider, &given, now),
        Auth::ApiKey | Auth::Basic | Auth::ClientCredentials => fields(provider, given),
    }
}

/// Reads the credential of a row's config. The config holds more, for example the account: only the provider says which one that is.
pub fn of_config(
    provider: &Provider,
    mut config: Map<String, Value>,
    now: DateTime<Utc>,
) -> Result<PlainConfig> {
    config.retain(|name, _| match provider.auth {
        Auth::Oauth => {
            GRANT.contains(&name.as_str()) || provider.token_response_metadata.contains(name)
        }
        _ => provider.fields.iter().any(|field| field.name == *name),
    });
    read(provider, config, now)
}

fn fields(provider: &Provider, given: Map<String, Value>) -> Result<PlainConfig> {
    credential_fields::read(provider, given).map_err(|error| match error {
        Error::Client(ClientError::Fields(message)) => {
            refused(message.replacen("fields", "credential", 1))
        }
        other => other,
    })
}

fn grant(
    provider: &Provider,
    given: &Map<String, Value>,
    now: DateTime<Utc>,
) -> Result<PlainConfig> {
    let metadata = provider.token_response_metadata.iter().map(String::as_str);
    let names: Vec<&str> = GRANT.into_iter().chain(metadata).collect();
    if given.keys().any(|name| !names.contains(&name.as_str())) {
        let names = names.join(", ");
        return Err(refused(format!("credential may contain only {names}")));
    }
    let text = |name: &str| match given.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.as_str())),
        Some(_) => Err(refused(format!("credential.{name} must be text"))),
    };
    let token = |name: &str| match text(name)? {
        Some(value) if !token::is_usable(value) => Err(refused(format!(
            "credential.{name} must be printable ASCII without blanks"
        ))),
        value => Ok(value.map(|value| Secret::from(value.to_owned()))),
    };
    let (access_token, refresh_token) = (token("access_token")?, token("refresh_token")?);
    match (provider.refresh, &access_token, &refresh_token) {
        (_, Some(_), _) | (Refresh::Reusable, None, Some(_)) => {}
        (Refresh::Rotating, None, Some(_)) => return Err(ClientError::NotRedeemed.into()),
        _ => return Err(refused("credential.access_token must be given".to_owned())),
    }
    let expires_at = text("expires_at")?.map(DateTime::parse_from_rfc3339);
    let expires_at = expires_at.transpose().map_err(|_| {
        refused("credential.expires_at must be a time such as 2026-11-27T14:30:00Z".to_owned())
    })?;
    let expires_at = expires_at.map(|moment| moment.to_utc()).or_else(|| {
        let is_refreshed = provider.refresh != Refresh::None && refresh_token.is_some();
        is_refreshed.then(|| now + UNKNOWN_LIFETIME)
    });
    let kept = provider.token_response_metadata.iter().filter_map(|name| {
        let value = text(name).transpose()?;
        Some(value.and_then(|value| match token::is_storable(value) {
            true => Ok((name.clone(), value.to_owned())),
            false => Err(refused(format!("credential.{name} is too long"))),
        }))
    });
    let grant = Grant {
        access_token: access_token.unwrap_or_else(|| Secret::from(String::new())),
        refresh_token,
        expires_at,
        scopes: scopes::read(given.get("scope")),
        metadata: kept.collect::<Result<_>>()?,
        account: None,
    };
    Ok(credentials::config(&grant))
}

fn refused(message: String) -> Error {
    ClientError::Fields(message).into()
}

pub fn has_access_token(config: &PlainConfig) -> bool {
    config
        .get_str("access_token")
        .is_some_and(|token| !token.is_empty())
}

/// Says why a stored credential cannot be renewed without its user. None: it can.
pub fn not_refreshable(provider: &Provider, config: &PlainConfig) -> Option<&'static str> {
    match provider.auth {
        Auth::ClientCredentials => None,
        Auth::Oauth if config.get_str("refresh_token").is_some() => None,
        Auth::Oauth => Some("no_refresh_token"),
        Auth::ApiKey | Auth::Basic => Some("no_expiry"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn provider(kind: &str) -> Provider {
        let mut all = crate::providers::all().unwrap().into_iter();
        all.find(|provider| provider.kind == kind).unwrap()
    }

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => panic!("no object"),
        }
    }

    fn given(kind: &str, credential: Value) -> Result<Value> {
        let config = read(&provider(kind), map(credential), DateTime::UNIX_EPOCH)?;
        Ok(Value::Object(config.as_map().clone()))
    }

    #[test]
    fn a_grant_is_read_and_its_time_and_scopes_get_our_form() {
        let credential = json!({
            "access_token": "a", "refresh_token": "r", "expires_at": "2026-11-27T15:30:00.5+01:00", "scope": ["read", "write"],
        });
        assert_eq!(
            given("google", credential).unwrap(),
            json!({"access_token": "a", "refresh_token": "r", "expires_at": "2026-11-27T14:30:00Z", "scope": "read write"})
        );
        let bare = json!({"access_token": "a", "refresh_token": null, "scope": null});
        assert_eq!(given("github", bare).unwrap(), json!({"access_token": "a"}));
    }

    #[test]
    fn a_token_of_unknown_expiry_is_refreshed_soon_if_it_can_be() {
        let both = json!({"access_token": "a", "refresh_token": "r"});
        for (kind, credential, expected) in [
            ("google", both.clone(), Some("1970-01-01T00:05:00Z")),
            ("github", both.clone(), Some("1970-01-01T00:05:00Z")),
            ("netlify", both, None),
            ("github", json!({"access_token": "a"}), None),
        ] {
            let config = given(kind, credential).unwrap();
            assert_eq!(
                config.get("expires_at").and_then(Value::as_str),
                expected,
                "{kind}"
            );
        }
    }

    #[test]
    fn of_a_config_the_credential_is_taken_and_nothing_else() {
        for (kind, config, expected) in [
            (
                "supabase",
                json!({"access_token": "a", "project_id": "stolen", "project_name": "x", "expires_in": 3600}),
                json!({"access_token": "a"}),
            ),
            (
                "salesforce",
                json!({"access_token": "a", "instance_url": "https://x.example", "x": {}}),
                json!({"access_token": "a", "instance_url": "https://x.example"}),
            ),
            (
                "stripe",
                json!({"api_key": "k", "account_id": "stolen", "account_name": "x"}),
                json!({"api_key": "k"}),
            ),
            (
                "auth0",
                json!({"tenant": "t.eu", "client_id": "c", "client_secret": "s", "access_token": "a", "expires_at": "x"}),
                json!({"tenant": "t.eu", "client_id": "c", "client_secret": "s"}),
            ),
        ] {
            let read = of_config(&provider(kind), map(config), DateTime::UNIX_EPOCH).unwrap();
            assert_eq!(Value::Object(read.as_map().clone()), expected, "{kind}");
        }
    }

    #[test]
    fn a_wrong_member_is_named_and_its_value_is_not() {
        for (kind, credential, expected) in [
            ("google", json!({}), "credential.access_token must be given"),
            (
                "netlify",
                json!({"refresh_token": "planted"}),
                "credential.access_token must be given",
            ),
            (
                "google",
                json!({"access_token": ["planted"]}),
                "credential.access_token must be text",
            ),
            (
                "google",
                json!({"access_token": "planted\r\nx: y"}),
                "credential.access_token must be printable ASCII without blanks",
            ),
            (
                "google",
                json!({"access_token": "a", "refresh_token": "planted planted"}),
                "credential.refresh_token must be printable ASCII without blanks",
            ),
            (
                "google",
                json!({"access_token": "a", "expires_at": "planted"}),
                "credential.expires_at must be a time such as 2026-11-27T14:30:00Z",
            ),
            (
                "google",
                json!({"access_token": "a", "planted": "x"}),
                "credential may contain only access_token, refresh_token, expires_at, scope",
            ),
            (
                "salesforce",
                json!({"access_token": "a", "instance_url": "planted".repeat(400)}),
                "credential.instance_url is too long",
            ),
            (
                "stripe",
                json!({"access_token": "planted"}),
                "credential may contain only api_key",
            ),
        ] {
            let error = given(kind, credential).unwrap_err();
            assert_eq!(error.answer().0, 400);
            assert_eq!(error.message(), expected, "{kind}");
        }
    }

    #[test]
    fn a_refresh_token_alone_is_enough_where_it_outlives_its_use() {
        let alone = json!({"refresh_token": "r"});
        let config = read(
            &provider("google"),
            map(alone.clone()),
            DateTime::UNIX_EPOCH,
        )
        .unwrap();
        assert!(!has_access_token(&config) && config.get_str("refresh_token") == Some("r"));
        let error = given("gitlab", alone).unwrap_err();
        assert_eq!(error.answer().1, "not_importable");
    }

    #[test]
    fn it_is_said_what_cannot_be_refreshed() {
        for (kind, credential, reason) in [
            (
                "google",
                json!({"access_token": "a", "refresh_token": "r"}),
                None,
            ),
            (
                "google",
                json!({"access_token": "a"}),
                Some("no_refresh_token"),
            ),
            ("stripe", json!({"api_key": "k"}), Some("no_expiry")),
            (
                "auth0",
                json!({"tenant": "t", "client_id": "c", "client_secret": "s"}),
                None,
            ),
        ] {
            let config = given(kind, credential).unwrap();
            let config = PlainConfig::from_map(config.as_object().unwrap().clone());
            assert_eq!(not_refreshable(&provider(kind), &config), reason, "{kind}");
        }
    }

    proptest! {
        /// Whatever is given, what is stored is a config that the entry's requests can be built from, or an error without the value.
        #[test]
        fn what_is_read_holds_an_access_token(
            access in "\\PC{0,30}|[!-~]{1,40}", expiry in "\\PC{0,25}|20[0-9]{2}-0[1-9]-1[0-9]T00:00:00Z", scope in "\\PC{0,40}"
        ) {
            let credential = json!({"access_token": access, "expires_at": expiry, "scope": scope});
            match given("google", credential) {
                Ok(config) => {
                    prop_assert_eq!(config["access_token"].as_str(), Some(access.as_str()));
                    prop_assert!(token::is_usable(&access) && config["expires_at"].as_str().unwrap().ends_with('Z'));
                }
                Err(error) => prop_assert!(access.len() < 12 || !error.message().contains(&access)),
            }
        }
    }
}
