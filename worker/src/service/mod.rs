//! What programs do with service keys, and how owners manage these.

pub mod import_credential;

#[cfg(target_arch = "wasm32")]
pub mod connect_sessions;
#[cfg(target_arch = "wasm32")]
pub mod credential;
#[cfg(target_arch = "wasm32")]
pub mod import;
#[cfg(target_arch = "wasm32")]
pub mod keys;
