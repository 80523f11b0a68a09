//! The secrets of an app: what they may be, and the config that is sealed.

use crate::error::{ClientError, Result};
use sealed::{PlainConfig, Secret};
use serde_json::{Map, Value};

const SECRET: &str = "client_secret";
const FALLBACK: &str = "fallback_client_secret";
/// The longest secret, in bytes. Some are signed tokens.
const SECRET_MAX: usize = 4_096;
/// The longest client id, in characters. The table has the same bound.
const ID_MAX: usize = 512;

/// The config of an app. The secret is tried first.
pub fn config(secret: &Secret, fallback: Option<&Secret>) -> PlainConfig {
    let mut map = Map::new();
    let given = [(SECRET, Some(secret)), (FALLBACK, fallback)];
    for (name, secret) in given {
        if let Some(secret) = secret {
            map.insert(name.to_owned(), Value::from(secret.expose()));
        }
    }
    PlainConfig::from_map(map)
}

/// The secret of a config, and the other one if there is one.
pub fn read(config: &PlainConfig) -> Option<(Secret, Option<Secret>)> {
    let secret = |name| {
        config
            .get_str(name)
            .map(|text| Secret::from(text.to_owned()))
    };
    Some((secret(SECRET)?, secret(FALLBACK)))
}

/// Checks a secret that was entered.
pub fn check_secret(secret: &Secret) -> Result<()> {
    let expected =
        "client_secret must be 1 to 4096 printable ASCII characters, without surrounding blanks";
    let fine = is_text(secret.expose(), SECRET_MAX);
    fine.then_some(())
        .ok_or(ClientError::Invalid(expected).into())
}

/// Checks a client id that was entered.
pub fn check_client_id(id: &str) -> Result<()> {
    let expected =
        "client_id must be 1 to 512 printable ASCII characters, without surrounding blanks";
    is_text(id, ID_MAX)
        .then_some(())
        .ok_or(ClientError::Invalid(expected).into())
}

/// VSCHAR (RFC 6749, appendices A.1 and A.2). A blank at an end comes from copying.
fn is_text(text: &str, max: usize) -> bool {
    let visible = |b: u8| (0x20..=0x7e).contains(&b);
    (1..=max).contains(&text.len()) && text.bytes().all(visible) && text.trim() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_back_in_their_order_and_are_sealed() {
        let secret = |text: &str| Secret::from(text.to_owned());
        let both = config(&secret("new"), Some(&secret("former")));
        let (first, other) = read(&both).unwrap();
        assert_eq!((first.expose(), other.unwrap().expose()), ("new", "former"));
        let (first, other) = read(&config(&secret("one"), None)).unwrap();
        assert!(first.expose() == "one" && other.is_none());
        for name in both.as_map().keys() {
            assert!(sealed::is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_a_secret_or_an_id_is_rejected() {
        for fine in ["x", "GOCSPX-a b~", &"x".repeat(SECRET_MAX)] {
            assert!(check_secret(&Secret::from(fine.to_owned())).is_ok());
        }
        for wrong in ["", " x", "x\n", "é", "a\0b", &"x".repeat(SECRET_MAX + 1)] {
            assert!(
                check_secret(&Secret::from(wrong.to_owned())).is_err(),
                "{wrong:.20}"
            );
        }
        assert!(check_client_id("Iv1.8a61f9b3a7aba766").is_ok());
        for wrong in ["", "x ", "ü", &"x".repeat(ID_MAX + 1)] {
            assert!(check_client_id(wrong).is_err(), "{wrong:.20}");
        }
    }
}
