//! Connecting an account, by OAuth or with credentials that the user enters: by a user of the project, or by a backend's user in a connect
//! session.

pub mod credential_fields;
pub mod failure_page;

#[cfg(target_arch = "wasm32")]
pub mod account_selection;
#[cfg(target_arch = "wasm32")]
pub mod callback;
#[cfg(target_arch = "wasm32")]
pub mod credential_connect;
#[cfg(target_arch = "wasm32")]
pub mod methods;
#[cfg(target_arch = "wasm32")]
pub mod session;
#[cfg(target_arch = "wasm32")]
pub mod session_return;
#[cfg(target_arch = "wasm32")]
pub mod start;
#[cfg(target_arch = "wasm32")]
pub mod store_connection;
