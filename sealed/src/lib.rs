//! The sealed-config format of the `integrations` table, and the key ring that seals, opens and rewraps it.
//!
//! A config is a JSON object in which the strings under [sensitive names](is_sensitive) are secrets. Sealed, each of
//! them is an AES-256-GCM text `iv.tag.ciphertext`, bound to its organization, row and field, and `_enc` beside them
//! names the key. Everything else in the config stays unchanged. `docs/format.md` is the format, byte for byte.
//!
//! This crate has no effects: it has no clock, no IO and no state, and randomness is an argument ([`Random`]). So it behaves the same on
//! workerd, in the command line tool and in tests.
//!
//! ```
//! use sealed::{Key, KeyRing, RowContext, PlainConfig};
//! use serde_json::json;
//! # fn random(bytes: &mut [u8]) -> Result<(), sealed::RandomError> {
//! #     for (i, byte) in bytes.iter_mut().enumerate() { *byte = i as u8 + 1 }
//! #     Ok(())
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! // `openssl rand -base64 32` makes a key; the ring's first key seals, every key opens.
//! let old = Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")?;
//! let new = Key::from_base64("ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=")?;
//! let before = KeyRing::new(old, vec![])?;
//!
//! let context = RowContext {
//!     organization_id: "00000000-0000-4000-8000-000000000001".parse()?,
//!     integration_id: "00000000-0000-4000-8000-000000000002".parse()?,
//! };
//! let config = json!({"access_token": "sbp_secret", "project_id": "abc123"});
//! let plain = PlainConfig::from_map(config.as_object().unwrap().clone());
//!
//! let stored = before.seal(&context, &plain, &mut random)?;
//! assert_eq!(stored["project_id"], "abc123");
//! assert_eq!(stored["_enc"]["kid"], before.primary_kid().to_string());
//! assert_eq!(before.open(&context, &stored)?.get_str("access_token"), Some("sbp_secret"));
//!
//! // A rotation: the new key seals, the old one still opens, and reseal rewraps a config with the new key.
//! let old = Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")?;
//! let ring = KeyRing::new(new, vec![old])?;
//! let moved = ring.reseal(&context, &stored, &mut random)?.expect("it was on the old key");
//! assert!(ring.reseal(&context, &moved, &mut random)?.is_none());
//! assert!(before.open(&context, &moved).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Numbers
//!
//! Plaintext members are copied, not read. If you parse a config from JSON text and write it back, use serde_json's feature
//! `arbitrary_precision`: without it the parser changes a number beyond 64 bits or 17 digits, before this crate sees it.

#![warn(missing_docs)]

mod cipher;
mod config;
mod current;
mod data_key;
mod encoding;
mod envelope;
mod error;
mod form;
mod key;
mod keyring;
mod kid;
mod legacy;
mod organization_keys;
mod plain;
mod pointer;
mod random;
mod row_context;
mod secret;
mod sensitive;
mod value;
#[cfg(feature = "vectors")]
pub mod vectors;
mod wrapped_key;

pub use config::{MAX_CONFIG_TEXT, MAX_DEPTH, MAX_VALUE, MAX_VALUES, StoredConfig};
pub use data_key::DataKey;
pub use envelope::ENC;
pub use error::{Fault, KeyError, OpenError, RandomError, Refused, ResealError, SealError};
pub use form::{Form, form};
pub use key::Key;
pub use keyring::KeyRing;
pub use kid::{Kid, ParseKidError};
pub use organization_keys::OrganizationKeys;
pub use plain::PlainConfig;
pub use pointer::is_unsafe_to_show;
pub use random::Random;
pub use row_context::RowContext;
pub use secret::Secret;
pub use sensitive::is_sensitive;
pub use wrapped_key::WrappedKey;
