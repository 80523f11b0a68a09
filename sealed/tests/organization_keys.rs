//! Configs of the third form: sealed with a data key of their organization.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use sealed::{
    DataKey, Fault, Form, Key, KeyRing, OrganizationKeys, PlainConfig, RandomError, RowContext,
    StoredConfig,
};
use serde_json::json;
use uuid::Uuid;

const CONTEXT: RowContext = RowContext {
    organization_id: Uuid::from_u128(1),
    integration_id: Uuid::from_u128(2),
};

fn ring(byte: u8) -> KeyRing {
    KeyRing::new(Key::from_bytes([byte; 32]), Vec::new()).unwrap()
}

fn counting() -> impl FnMut(&mut [u8]) -> Result<(), RandomError> {
    let mut next = 0;
    move |bytes| {
        bytes.fill_with(|| {
            next += 1;
            next
        });
        Ok(())
    }
}

fn plain() -> PlainConfig {
    let config = json!({"access_token": "a", "nested": {"client_secret": "b"}, "project_id": "p"});
    PlainConfig::from_map(config.as_object().unwrap().clone())
}

fn sealed(keys: OrganizationKeys<'_>) -> StoredConfig {
    keys.seal(&CONTEXT, &plain(), &mut counting()).unwrap()
}

#[test]
fn the_current_data_key_seals_and_every_data_key_opens() {
    let (ring, data_keys) = (
        ring(7),
        [DataKey::from_bytes([1; 32]), DataKey::from_bytes([2; 32])],
    );
    let [current, former] = &data_keys;
    let stored = sealed(OrganizationKeys::new(&ring, std::slice::from_ref(former)));
    assert_eq!(sealed::form(&stored), Form::V3(former.kid()));
    assert_eq!(stored["_enc"]["v"], 3);

    let keys = OrganizationKeys::new(&ring, &data_keys);
    assert_eq!(
        keys.open(&CONTEXT, &stored).unwrap().as_map(),
        plain().as_map()
    );
    let moved = keys.reseal(&CONTEXT, &stored, &mut counting()).unwrap();
    let moved = moved.unwrap();
    assert_eq!(sealed::form(&moved), Form::V3(current.kid()));
    assert_eq!(
        keys.open(&CONTEXT, &moved).unwrap().as_map(),
        plain().as_map()
    );
    assert_eq!(keys.reseal(&CONTEXT, &moved, &mut counting()), Ok(None));
}

#[test]
fn the_ring_alone_does_not_open_it() {
    let (ring, data_key) = (ring(7), DataKey::from_bytes([1; 32]));
    let stored = sealed(OrganizationKeys::new(&ring, &[data_key]));
    let error = ring.open(&CONTEXT, &stored).unwrap_err();
    assert_eq!(
        (error.class(), error.pointer()),
        (Fault::UnknownKey, "/_enc")
    );
    // Not even if the same bytes are a key of the ring: the form is authenticated.
    let same = KeyRing::new(Key::from_bytes([1; 32]), Vec::new()).unwrap();
    assert_eq!(
        same.open(&CONTEXT, &stored).unwrap_err().class(),
        Fault::UnknownKey
    );
    let mut renamed = stored;
    renamed["_enc"]["v"] = json!(2);
    assert_eq!(
        same.open(&CONTEXT, &renamed).unwrap_err().class(),
        Fault::NotAuthentic
    );
}

#[test]
fn what_the_ring_sealed_moves_to_the_data_key() {
    let (ring, data_keys) = (ring(7), [DataKey::from_bytes([1; 32])]);
    let keys = OrganizationKeys::new(&ring, &data_keys);
    let stored = ring.seal(&CONTEXT, &plain(), &mut counting()).unwrap();
    assert_eq!(sealed::form(&stored), Form::V2(ring.primary_kid()));
    assert_eq!(
        keys.open(&CONTEXT, &stored).unwrap().as_map(),
        plain().as_map()
    );
    let moved = keys.reseal(&CONTEXT, &stored, &mut counting()).unwrap();
    assert_eq!(sealed::form(&moved.unwrap()), Form::V3(data_keys[0].kid()));
}

#[test]
fn a_row_of_another_organization_does_not_open() {
    let (ring, data_keys) = (ring(7), [DataKey::from_bytes([1; 32])]);
    let keys = OrganizationKeys::new(&ring, &data_keys);
    let stored = sealed(keys);
    let elsewhere = RowContext {
        organization_id: Uuid::from_u128(3),
        ..CONTEXT
    };
    let error = keys.open(&elsewhere, &stored).unwrap_err();
    assert_eq!(error.class(), Fault::NotAuthentic);
}
