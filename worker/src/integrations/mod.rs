//! A user's view of connected accounts, and changes to them.

#[cfg(target_arch = "wasm32")]
pub mod detail;
#[cfg(target_arch = "wasm32")]
pub mod disconnect;
#[cfg(target_arch = "wasm32")]
pub mod event_export;
#[cfg(target_arch = "wasm32")]
pub mod events;
#[cfg(target_arch = "wasm32")]
pub mod list;
