//! The jobs of the one-minute cron trigger.

#[cfg(target_arch = "wasm32")]
pub mod clean_up;
#[cfg(target_arch = "wasm32")]
pub mod progress;
#[cfg(target_arch = "wasm32")]
pub mod revocations;
#[cfg(target_arch = "wasm32")]
pub mod schedule;
#[cfg(target_arch = "wasm32")]
pub mod scheduled_checks;
#[cfg(target_arch = "wasm32")]
pub mod scheduled_refreshes;
#[cfg(target_arch = "wasm32")]
pub mod secrets_rewrap;
#[cfg(target_arch = "wasm32")]
pub mod webhook_deliveries;
