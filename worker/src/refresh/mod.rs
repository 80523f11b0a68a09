//! Refreshing access tokens.

pub mod policy;

#[cfg(target_arch = "wasm32")]
pub mod live_credential;
#[cfg(target_arch = "wasm32")]
pub mod on_demand;
#[cfg(target_arch = "wasm32")]
pub mod provider_backoff;
#[cfg(target_arch = "wasm32")]
pub mod refresh_grant;
