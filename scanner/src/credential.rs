//! Decrypts the config of a claimed row and extracts what a scan needs.

use checks::Entry;
use platform::data_keys::{DataKeys, Host};
use sealed::{PlainConfig, RowContext, Secret, StoredConfig};
use serde_json::Value;
use std::collections::BTreeMap;

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

/// Opens a config and extracts the token and the settings that the entry names. It is an error if there is no access token. The outer error is
/// the database's.
pub async fn open<H: Host>(
    host: &H,
    data_keys: &DataKeys,
    entry: &Entry,
    place: &RowContext,
    config: &str,
) -> Result<Result<Account, Unopened>, H::Error> {
    let integration_id = place.integration_id;
    let told = |detail: String| Unopened {
        detail: format!("integrations {integration_id} {detail}"),
        lacks_key: false,
    };
    let Ok(stored) = serde_json::from_str::<StoredConfig>(config) else {
        return Ok(Err(told("config: no JSON object".to_owned())));
    };
    let opened = data_keys.open(host, place, &stored).await?;
    let account = match opened {
        Ok(plain) => {
            account(entry, &plain).ok_or_else(|| told("/access_token: there is none".to_owned()))
        }
        Err(unopened) => Err(Unopened {
            lacks_key: unopened.lacks_key,
            ..told(unopened.detail)
        }),
    };
    Ok(account)
}

fn account(entry: &Entry, plain: &PlainConfig) -> Option<Account> {
    let token = plain
        .get_str("access_token")
        // It is sent in a header. No other characters are in an issued token (RFC 6750, 2.1).
        .filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()))?;
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
    Some(Account {
        settings: settings.collect(),
        granted: plain.get_str("scope").map(scopes),
        token: Secret::from(token.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kms::WrappingKeys;
    use platform::call::{self, Call};
    use platform::error::DatabaseError;
    use platform::http::{HttpRequest, HttpResponse, SendError};
    use sealed::{DataKey, Key, KeyRing, OrganizationKeys, RandomError};
    use serde_json::json;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use uuid::Uuid;

    const PLACE: RowContext = RowContext {
        organization_id: Uuid::from_u128(1),
        integration_id: Uuid::from_u128(2),
    };

    /// A scanner, and the data key that the database answers with.
    struct Scanner {
        wrapping: WrappingKeys,
        data_key: Value,
    }

    impl Host for Scanner {
        type Error = DatabaseError;

        fn wrapping(&self) -> &WrappingKeys {
            &self.wrapping
        }

        fn now(&self) -> u64 {
            0
        }

        async fn fetch(&self, _: HttpRequest) -> Result<HttpResponse, SendError> {
            Err(SendError::Network)
        }

        fn random(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
            counter()(bytes)
        }

        async fn call<C: Call>(&self, _: &C) -> Result<C::Outcome, DatabaseError> {
            let answer = json!({"outcome": "found", "data_keys": [self.data_key]});
            call::outcome::<C>(&answer.to_string())
        }
    }

    fn counter() -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
        let mut next = 0;
        move |bytes| {
            bytes.fill_with(|| {
                next += 1;
                next
            });
            Ok(())
        }
    }

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(Key::from_bytes([byte; 32]), vec![]).unwrap()
    }

    fn data_key() -> DataKey {
        DataKey::from_bytes([3; 32])
    }

    fn sealed_config(config: Value) -> String {
        let Value::Object(map) = config else { panic!() };
        let (ring, keys) = (ring(7), [data_key()]);
        let keys = OrganizationKeys::new(&ring, &keys);
        let stored = keys.seal(&PLACE, &PlainConfig::from_map(map), &mut counter());
        Value::Object(stored.unwrap()).to_string()
    }

    fn opened_with(byte: u8, config: &str, integration_id: Uuid) -> Result<Account, Unopened> {
        let wrapped = ring(7).wrap(PLACE.organization_id, &data_key(), &mut counter());
        let wrapped = wrapped.unwrap();
        let scanner = Scanner {
            wrapping: ring(byte).into(),
            data_key: json!({
                "organization_id": PLACE.organization_id,
                "kid": wrapped.kid.to_string(),
                "wrapping_kid": wrapped.wrapping_kid.to_string(),
                "wrapped": wrapped.wrapped,
            }),
        };
        let place = RowContext {
            integration_id,
            ..PLACE
        };
        let (entry, keys) = (checks::entry("supabase").unwrap(), DataKeys::default());
        let opening = open(&scanner, &keys, entry, &place, config);
        match pin!(opening).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(opened) => opened.unwrap(),
            Poll::Pending => panic!("the database answers at once"),
        }
    }

    fn opened(config: &str, integration: Uuid) -> Result<Account, Unopened> {
        opened_with(7, config, integration)
    }

    #[test]
    fn takes_what_the_entry_names_and_no_more() {
        let config = sealed_config(json!({
            "access_token": "planted-token", "refresh_token": "planted-refresh", "project_id": "abc", "project_name": "n", "scope": "a b,c"
        }));
        let account = opened(&config, PLACE.integration_id).unwrap();
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
        let own = PLACE.integration_id;
        for (config, integration, place) in [
            (right.as_str(), Uuid::from_u128(3), "/access_token"),
            ("[\"planted\"]", own, "config"),
            ("planted", own, "config"),
            (
                &sealed_config(json!({"project_id": "planted"})),
                own,
                "/access_token",
            ),
            (
                &sealed_config(json!({"access_token": "planted\nx: y"})),
                own,
                "/access_token",
            ),
            (
                &right.replace(&data_key().kid().to_string(), "0123456789abcdef"),
                own,
                "/_enc",
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
        let plain = json!({"access_token": "planted-token", "project_id": "abc"});
        let of_data_key = sealed_config(plain.clone());
        let Value::Object(map) = plain else { panic!() };
        let of_ring = ring(7).seal(&PLACE, &PlainConfig::from_map(map), &mut counter());
        let of_ring = Value::Object(of_ring.unwrap()).to_string();
        for config in [of_data_key, of_ring] {
            assert!(opened(&config, PLACE.integration_id).is_ok());
            let unopened = opened_with(8, &config, PLACE.integration_id);
            assert!(unopened.err().unwrap().lacks_key);
        }
    }
}
