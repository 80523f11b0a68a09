//! The vectors of `sealed/tests`, as docs/format.md describes them, and what each of them asks for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealed::{Key, KeyRing, Place, PlainConfig, RandomError, SealError};
use serde::Deserialize;
use serde_json::{Map, Value};

type Object = Map<String, Value>;
type Check<T = ()> = Result<T, String>;

#[derive(Deserialize)]
pub struct Vectors {
    sealed: Vec<Sealed>,
    #[serde(default)]
    old: Vec<Old>,
    #[serde(default)]
    refused: Vec<Refused>,
    #[serde(default)]
    unsealable: Vec<Unsealable>,
    #[serde(default)]
    names: Names,
}

#[derive(Default, Deserialize)]
struct Names {
    sensitive: Vec<String>,
    not_sensitive: Vec<String>,
}

#[derive(Deserialize)]
struct Sealed {
    name: String,
    key: String,
    kid: String,
    organization_id: String,
    integration_id: String,
    plain: Object,
    nonces: Vec<(String, String)>,
    stored: Object,
}

#[derive(Deserialize)]
struct Old {
    name: String,
    key: String,
    plain: Object,
    stored: Object,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    keys: Vec<String>,
    organization_id: String,
    integration_id: String,
    stored: Object,
    fault: String,
    pointer: String,
}

#[derive(Deserialize)]
struct Unsealable {
    name: String,
    plain: Object,
    fault: String,
    pointer: String,
}

impl Vectors {
    pub fn parse(text: &str) -> Check<Self> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Checks all of them, and says how many there are.
    pub fn check(&self) -> Check<usize> {
        each(&self.sealed, |vector| &vector.name, Sealed::check)?;
        each(&self.old, |vector| &vector.name, Old::check)?;
        each(&self.refused, |vector| &vector.name, Refused::check)?;
        each(&self.unsealable, |vector| &vector.name, Unsealable::check)?;
        let Names {
            sensitive,
            not_sensitive,
        } = &self.names;
        each(
            sensitive,
            |name| name,
            |name| demand(sealed::is_sensitive(name), "is no sensitive name"),
        )?;
        each(
            not_sensitive,
            |name| name,
            |name| demand(!sealed::is_sensitive(name), "is a sensitive name"),
        )?;
        Ok(self.sealed.len()
            + self.old.len()
            + self.refused.len()
            + self.unsealable.len()
            + sensitive.len()
            + not_sensitive.len())
    }
}

impl Sealed {
    fn check(&self) -> Check {
        let ring = ring([&self.key])?;
        let place = place(&self.organization_id, &self.integration_id)?;
        demand(ring.primary_kid().to_string() == self.kid, "another kid")?;
        let opened = ring.open(&place, &self.stored).map_err(said)?;
        demand(*opened.as_map() == self.plain, "opens to something else")?;
        let mut nonces = Vec::new();
        for (_, nonce) in &self.nonces {
            nonces.extend(STANDARD.decode(nonce).map_err(said)?);
        }
        // The vector says what the random source gave, so that the result is known to the byte.
        let replay = &mut |bytes: &mut [u8]| {
            (bytes.len() == nonces.len())
                .then(|| bytes.copy_from_slice(&nonces))
                .ok_or(RandomError)
        };
        let plain = PlainConfig::from_map(self.plain.clone());
        let stored = ring.seal(&place, &plain, replay).map_err(said)?;
        demand(stored == self.stored, "seals to something else")
    }
}

impl Old {
    fn check(&self) -> Check {
        let opened = ring([&self.key])?
            .open(&anywhere(), &self.stored)
            .map_err(said)?;
        demand(*opened.as_map() == self.plain, "opens to something else")
    }
}

impl Refused {
    fn check(&self) -> Check {
        let place = place(&self.organization_id, &self.integration_id)?;
        match ring(&self.keys)?.open(&place, &self.stored) {
            Ok(_) => Err("opens".to_owned()),
            Err(error) => {
                let found = (error.class().as_str(), error.pointer());
                demand(
                    found == (&self.fault, &self.pointer),
                    "is refused for another reason",
                )
            }
        }
    }
}

impl Unsealable {
    fn check(&self) -> Check {
        let ring = KeyRing::new(Key::from_bytes([7; 32]), Vec::new()).map_err(said)?;
        let plain = PlainConfig::from_map(self.plain.clone());
        match ring.seal(&anywhere(), &plain, &mut |_| Err(RandomError)) {
            Err(SealError::Refused(refused)) => {
                let found = (refused.class().as_str(), refused.pointer());
                demand(
                    found == (&self.fault, &self.pointer),
                    "is refused for another reason",
                )
            }
            Err(SealError::Random(_)) | Ok(_) => Err("is not refused".to_owned()),
        }
    }
}

fn each<T>(vectors: &[T], name: fn(&T) -> &String, check: fn(&T) -> Check) -> Check {
    vectors
        .iter()
        .try_for_each(|vector| check(vector).map_err(|why| format!("\"{}\" {why}", name(vector))))
}

fn demand(holds: bool, otherwise: &str) -> Check {
    holds.then_some(()).ok_or_else(|| otherwise.to_owned())
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

fn ring<'a>(keys: impl IntoIterator<Item = &'a String>) -> Check<KeyRing> {
    let mut keys = keys
        .into_iter()
        .map(|text| Key::from_base64(text).map_err(said));
    let primary = keys.next().ok_or("has no key")??;
    KeyRing::new(primary, keys.collect::<Check<_>>()?).map_err(said)
}

fn place(organization_id: &str, integration_id: &str) -> Check<Place> {
    Ok(Place {
        organization_id: organization_id.parse().map_err(said)?,
        integration_id: integration_id.parse().map_err(said)?,
    })
}

/// The old form is bound to no place.
fn anywhere() -> Place {
    Place {
        organization_id: uuid::Uuid::nil(),
        integration_id: uuid::Uuid::nil(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A check that cannot fail proves nothing: each kind of vector, made wrong, is found out.
    #[test]
    fn a_wrong_vector_is_noticed() {
        let all = include_str!("../../../sealed/tests/vectors.json");
        let node = include_str!("../../../sealed/tests/vectors-node.json");
        let refused = r#"{"sealed":[],"refused":[{"name":"n","keys":["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="],
            "organization_id":"00000000-0000-4000-8000-000000000001",
            "integration_id":"00000000-0000-4000-8000-000000000001",
            "stored":{"access_token":"x"},"fault":"malformed","pointer":"/access_token"}]}"#;
        for (text, why) in [
            (
                all.replace("\"sbp_example\"", "\"sbp_other\""),
                "opens to something else",
            ),
            (
                all.replace("\"deb330ee098af3e8\"", "\"deb330ee098af3e9\""),
                "another kid",
            ),
            (
                all.replace("\"JUpvlLneAyhNcpe8\"", "\"JUpvlLneAyhNcpe9\""),
                "seals to something else",
            ),
            (
                all.replace("\"monkey\"", "\"api_key\""),
                "is a sensitive name",
            ),
            (
                all.replace("\"wrong-type\"", "\"too-deep\""),
                "for another reason",
            ),
            (
                node.replace("\"sbp_0123456789abcdef\"", "\"sbp\""),
                "opens to something else",
            ),
            (refused.to_owned(), "is refused for another reason"),
        ] {
            let found = Vectors::parse(&text).and_then(|vectors| vectors.check());
            assert!(
                found.as_ref().is_err_and(|found| found.contains(why)),
                "{why}: {found:?}"
            );
        }
        assert!(
            Vectors::parse(all)
                .and_then(|vectors| vectors.check())
                .is_ok()
        );
    }
}
