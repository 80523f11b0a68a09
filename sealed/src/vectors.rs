//! Checks the test vectors of `sealed/tests`, as docs/format.md describes them: for this crate's tests, natively and in wasm, and for
//! programs that check themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use self::check::{Check, Object, context, data_keys, demand, message, replay, ring};
use self::moves::moves;
use self::wrapped::{RefusedWrapped, Wrapped};
use crate::data_key::DataKey;
use crate::error::{RandomError, SealError};
use crate::key::Key;
use crate::keyring::KeyRing;
use crate::organization_keys::OrganizationKeys;
use crate::plain::PlainConfig;
use crate::row_context::RowContext;
use crate::sensitive::is_sensitive;

mod check;
mod moves;
mod wrapped;

/// The class of a stored config that is not a JSON object. The callers of this crate report it.
const NO_OBJECT: &str = "no-object";

/// The vectors of one file.
#[derive(Deserialize)]
pub struct Vectors {
    sealed: Vec<Sealed>,
    #[serde(default)]
    legacy: Vec<Legacy>,
    #[serde(default)]
    refused: Vec<Refused>,
    #[serde(default)]
    unsealable: Vec<Unsealable>,
    #[serde(default)]
    wrapped: Vec<Wrapped>,
    #[serde(default)]
    refused_wrapped: Vec<RefusedWrapped>,
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
    data_key: Option<String>,
    kid: String,
    organization_id: String,
    integration_id: String,
    plain: Object,
    nonces: Vec<(String, String)>,
    stored: Object,
}

#[derive(Deserialize)]
struct Legacy {
    name: String,
    key: String,
    plain: Object,
    stored: Object,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    keys: Vec<String>,
    #[serde(default)]
    data_keys: Vec<String>,
    organization_id: String,
    integration_id: String,
    stored: Value,
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
    /// Parses a file of vectors.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn parse(text: &str) -> Check<Self> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Checks all vectors and returns their number.
    ///
    /// # Errors
    ///
    /// The name of the first vector that fails, and what is wrong.
    pub fn check(&self) -> Check<usize> {
        each(&self.sealed, |vector| &vector.name, Sealed::check)?;
        each(&self.legacy, |vector| &vector.name, Legacy::check)?;
        each(&self.refused, |vector| &vector.name, Refused::check)?;
        each(&self.unsealable, |vector| &vector.name, Unsealable::check)?;
        each(&self.wrapped, |vector| &vector.name, Wrapped::check)?;
        each(
            &self.refused_wrapped,
            |vector| &vector.name,
            RefusedWrapped::check,
        )?;
        let Names {
            sensitive,
            not_sensitive,
        } = &self.names;
        each(
            sensitive,
            |name| name,
            |name| demand(is_sensitive(name), "is no sensitive name"),
        )?;
        each(
            not_sensitive,
            |name| name,
            |name| demand(!is_sensitive(name), "is a sensitive name"),
        )?;
        Ok(self.counts().iter().sum::<usize>() + sensitive.len() + not_sensitive.len())
    }
}

impl Sealed {
    fn check(&self) -> Check {
        let ring = ring([&self.key])?;
        let data_keys = data_keys(&self.data_key)?;
        let keys = OrganizationKeys::new(&ring, &data_keys);
        let context = context(&self.organization_id, &self.integration_id)?;
        let sealing = data_keys.first().map_or(ring.primary_kid(), DataKey::kid);
        demand(sealing.to_string() == self.kid, "another kid")?;
        let opened = keys.open(&context, &self.stored).map_err(message)?;
        demand(*opened.as_map() == self.plain, "opens to something else")?;
        let mut nonces = Vec::new();
        for (_, nonce) in &self.nonces {
            nonces.extend(STANDARD.decode(nonce).map_err(message)?);
        }
        let plain = PlainConfig::from_map(self.plain.clone());
        let stored = keys.seal(&context, &plain, &mut replay(&nonces));
        demand(
            stored.map_err(message)? == self.stored,
            "seals to something else",
        )?;
        moves(
            &context,
            &self.key,
            &self.data_key,
            &self.stored,
            &self.plain,
        )
    }
}

impl Legacy {
    fn check(&self) -> Check {
        let opened = ring([&self.key])?
            .open(&anywhere(), &self.stored)
            .map_err(message)?;
        demand(*opened.as_map() == self.plain, "opens to something else")?;
        moves(&anywhere(), &self.key, &None, &self.stored, &self.plain)
    }
}

impl Refused {
    fn check(&self) -> Check {
        let context = context(&self.organization_id, &self.integration_id)?;
        // What is not an object is no config, and whoever parses it says so.
        let Some(stored) = self.stored.as_object() else {
            let found = (&*self.fault, &*self.pointer);
            return demand(found == (NO_OBJECT, ""), "is refused for another reason");
        };
        let (ring, data_keys) = (ring(&self.keys)?, data_keys(&self.data_keys)?);
        match OrganizationKeys::new(&ring, &data_keys).open(&context, stored) {
            Ok(_) => Err("opens".to_owned()),
            Err(error) => {
                let found = (error.class().as_str(), error.pointer());
                demand(
                    found == (&self.fault, &self.pointer),
                    "is refused for another reason",
                )?;
                demand(
                    error.to_string() == "the stored credentials do not open",
                    "says more than that it does not open",
                )
            }
        }
    }
}

impl Unsealable {
    fn check(&self) -> Check {
        let ring = KeyRing::new(Key::from_bytes([7; 32]), Vec::new()).map_err(message)?;
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

impl Vectors {
    /// The number of vectors of each kind: sealed, legacy, refused, unsealable, wrapped and refused wrapped ones.
    pub fn counts(&self) -> [usize; 6] {
        [
            self.sealed.len(),
            self.legacy.len(),
            self.refused.len(),
            self.unsealable.len(),
            self.wrapped.len(),
            self.refused_wrapped.len(),
        ]
    }

    /// The fault of each vector that has one.
    pub fn faults(&self) -> impl Iterator<Item = &str> {
        let refused = self.refused.iter().map(|vector| &*vector.fault);
        let wrapped = self.refused_wrapped.iter().map(|vector| &*vector.fault);
        refused
            .chain(self.unsealable.iter().map(|vector| &*vector.fault))
            .chain(wrapped)
    }
}

fn each<T>(vectors: &[T], name: fn(&T) -> &String, check: fn(&T) -> Check) -> Check {
    vectors
        .iter()
        .try_for_each(|vector| check(vector).map_err(|why| format!("\"{}\" {why}", name(vector))))
}

/// The legacy form is bound to no row.
fn anywhere() -> RowContext {
    RowContext {
        organization_id: uuid::Uuid::nil(),
        integration_id: uuid::Uuid::nil(),
    }
}
