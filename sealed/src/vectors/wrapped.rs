//! Vectors of wrapped data keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::check::{Check, data_key, demand, message, replay, ring, unrelated};
use crate::key::Key;
use crate::keyring::KeyRing;
use crate::wrapped_key::WrappedKey;

#[derive(Deserialize)]
pub(super) struct Wrapped {
    pub name: String,
    key: String,
    organization_id: String,
    data_key: String,
    nonce: String,
    #[serde(flatten)]
    row: Row,
}

#[derive(Deserialize)]
pub(super) struct RefusedWrapped {
    pub name: String,
    keys: Vec<String>,
    organization_id: String,
    #[serde(flatten)]
    row: Row,
    pub fault: String,
}

#[derive(Deserialize)]
struct Row {
    kid: String,
    wrapping_kid: String,
    wrapped: String,
}

impl Row {
    fn read(&self) -> Check<WrappedKey> {
        Ok(WrappedKey {
            kid: self.kid.parse().map_err(message)?,
            wrapping_kid: self.wrapping_kid.parse().map_err(message)?,
            wrapped: self.wrapped.clone(),
        })
    }
}

impl Wrapped {
    pub fn check(&self) -> Check {
        let organization_id = self.organization_id.parse().map_err(message)?;
        let (ring, data_key, row) = (
            ring([&self.key])?,
            data_key(&self.data_key)?,
            self.row.read()?,
        );
        let nonce = STANDARD.decode(&self.nonce).map_err(message)?;
        let wrapped = ring.wrap(organization_id, &data_key, &mut replay(&nonce));
        demand(wrapped.map_err(message)? == row, "wraps to something else")?;
        let opened = ring.unwrap(organization_id, &row).map_err(message)?;
        demand(
            opened.expose() == data_key.expose(),
            "unwraps to something else",
        )?;

        let moving = KeyRing::new(
            Key::from_bytes([7; 32]),
            vec![Key::from_base64(&self.key).map_err(message)?],
        );
        let moving = moving.map_err(message)?;
        let moved = moving
            .rewrap(organization_id, &row, &mut unrelated())
            .map_err(message)?;
        let moved = moved.ok_or("does not move to another key")?;
        let alone = KeyRing::new(Key::from_bytes([7; 32]), Vec::new()).map_err(message)?;
        let opened = alone.unwrap(organization_id, &moved).map_err(message)?;
        demand(
            opened.expose() == data_key.expose(),
            "unwraps to something else once it has moved",
        )
    }
}

impl RefusedWrapped {
    pub fn check(&self) -> Check {
        let organization_id = self.organization_id.parse().map_err(message)?;
        match ring(&self.keys)?.unwrap(organization_id, &self.row.read()?) {
            Ok(_) => Err("unwraps".to_owned()),
            Err(error) => demand(
                (error.class().as_str(), error.pointer()) == (&self.fault, ""),
                "is refused for another reason",
            ),
        }
    }
}
