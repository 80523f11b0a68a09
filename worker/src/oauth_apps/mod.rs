//! OAuth apps of an organization's own.

pub mod secrets;

#[cfg(target_arch = "wasm32")]
pub mod client;
#[cfg(target_arch = "wasm32")]
pub mod manage;
