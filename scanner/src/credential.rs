//! Decrypts the config of a claimed row and extracts what a scan needs.

use checks::Entry;
use sealed::{Fault, KeyRing, RowContext, Secret, StoredConfig};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

pub struct Account {
    /// The fields of the config that the entry's URLs name.
    pub settings: BTreeMap<String, String>,
    /// The granted scopes, if the config names them.
    pub granted: Option<Vec<String>>,
    pub token: Secret,
}

/// Why a config did not open.
#[derive(Debug)]
pub struct Unopened {
    /// For the log: the row, the field and the class of fault, never a value.
    pub detail: String,
    /// This scanner lacks the key, as one that was not deployed with a new key does. Nothing is wrong with the row.
    pub lacks_key: bool,
}

/// Opens a config and extracts the token and the settings that the entry names. It is an error if there is no access token.
pub fn open(
    ring: &KeyRing,
    entry: &Entry,
    organization_id: Uuid,
    integration_id: Uuid,
    config: &str,
) -> Result<Account, Unopened> {
    let told = |fault: String| Unopened {
        detail: format!("integrations {integration_id} {fault}"),
        lacks_key: false,
    };
    let stored: StoredConfig =
        serde_json::from_str(config).map_err(|_| told("config: no JSON object".to_owned()))?;
    let place = RowContext {
        organization_id,
        integration_id,
    };
    let plain = ring.open(&place, &stored).map_err(|error| Unopened {
        lacks_key: error.class() == Fault::UnknownKey,
        ..told(format!("{}: {error} ({})", error.pointer(), error.class()))
    })?;
    let token = plain
        .get_str("access_token")
        // It is sent in a header. No other characters are in an issued token (RFC 6750, 2.1).
        .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or_else(|| told("/access_token: there is none".to_owned()))?;
    let settings = entry.settings.iter().filter_map(|name| {
        let value = match plain.get(name)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some((name.clone(), value))
    });
    let scopes = |text: &str| {
        text.split([' ', ','])
            .filter(|scope| !scope.is_empty())
            .map(str::to_owned)
            .collect()
    };
    Ok(Account {
        settings: settings.collect(),
        granted: plain.get_str("scope").map(scopes),
        token: Secret::from(token.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealed::{Key, PlainConfig};
    use serde_json::json;

    const ORGANIZATION: Uuid = Uuid::from_u128(1);
    const INTEGRATION: Uuid = Uuid::from_u128(2);

    fn ring() -> KeyRing {
        KeyRing::new(Key::from_bytes([7; 32]), vec![]).unwrap()
    }

    fn sealed_config(config: Value) -> String {
        let place = RowContext {
            organization_id: ORGANIZATION,
            integration_id: INTEGRATION,
        };
        let Value::Object(map) = config else { panic!() };
        let mut next = 0;
        let mut random = |bytes: &mut [u8]| {
            bytes.fill_with(|| {
                next += 1;
                next
            });
            Ok(())
        };
        let stored = ring().seal(&place, &PlainConfig::from_map(map), &mut random);
        Value::Object(stored.unwrap()).to_string()
    }

    fn opened(config: &str, integration: Uuid) -> Result<Account, Unopened> {
        let entry = checks::entry("supabase").unwrap();
        open(&ring(), entry, ORGANIZATION, integration, config)
    }

    #[test]
    fn takes_what_the_entry_names_and_no_more() {
        let config = sealed_config(json!({
            "access_token": "planted-token", "refresh_token": "planted-refresh", "project_id": "abc", "project_name": "n", "scope": "a b,c"
        }));
        let account = opened(&config, INTEGRATION).unwrap();
        assert_eq!(account.token.expose(), "planted-token");
        assert_eq!(
            account.settings,
            [("project_id".to_owned(), "abc".to_owned())].into()
        );
        assert_eq!(account.granted.unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn what_does_not_open_is_named_and_not_shown() {
        let right = sealed_config(json!({"access_token": "planted-token", "project_id": "abc"}));
        for (config, integration, place) in [
            (right.as_str(), Uuid::from_u128(3), "/access_token"),
            ("[\"planted\"]", INTEGRATION, "config"),
            ("planted", INTEGRATION, "config"),
            (
                &sealed_config(json!({"project_id": "planted"})),
                INTEGRATION,
                "/access_token",
            ),
            (
                &sealed_config(json!({"access_token": "planted\nx: y"})),
                INTEGRATION,
                "/access_token",
            ),
        ] {
            let Unopened {
                detail: told,
                lacks_key,
            } = opened(config, integration).err().unwrap();
            assert!(!lacks_key, "{told}");
            assert!(
                told.starts_with(&format!("integrations {integration} {place}")),
                "{told}"
            );
            assert!(!told.contains("planted"), "{told}");
        }
    }

    #[test]
    fn a_key_that_the_scanner_lacks_is_not_the_rows_fault() {
        let config = sealed_config(json!({"access_token": "planted-token", "project_id": "abc"}));
        let other = KeyRing::new(Key::from_bytes([8; 32]), vec![]).unwrap();
        let entry = checks::entry("supabase").unwrap();
        let unopened = open(&other, entry, ORGANIZATION, INTEGRATION, &config);
        assert!(unopened.err().unwrap().lacks_key);
    }
}
