//! The database. Its functions (`migrations/`, `docs/database.md`), which the service key calls; and the lists that users read with their own
//! token, so that row level security decides. Each is a pair: build the request, read the response.

pub mod assessments;
mod checks;
mod connect_sessions;
mod connections;
pub mod cursor;
mod deliveries;
pub mod event_export;
pub mod events;
pub mod findings;
mod imports;
pub mod integration;
mod integrations;
pub mod lists;
pub mod mutes;
mod oauth_apps;
#[cfg(target_arch = "wasm32")]
pub mod page;
#[cfg(target_arch = "wasm32")]
pub mod pages;
pub mod project;
mod rate_limits;
mod refreshes;
mod revocations;
pub mod rows;
mod secrets;
mod service_keys;
pub mod webhook_lists;
mod webhooks;

pub use platform::call;

pub use checks::*;
pub use connect_sessions::*;
pub use connections::*;
pub use deliveries::*;
pub use imports::*;
pub use integrations::*;
pub use oauth_apps::*;
pub use rate_limits::*;
pub use refreshes::*;
pub use revocations::*;
pub use secrets::*;
pub use service_keys::*;
pub use webhooks::*;
