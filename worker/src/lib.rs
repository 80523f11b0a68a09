//! The worker at the edge. A signed-in user connects an account by OAuth, and the worker stores its credentials, sealed, in Supabase.
//!
//! Each feature is a folder. Within it, each step of a protocol is a pair of plain functions, one that builds a request and one that reads the
//! response; handlers and jobs call them and perform the I/O between them. Only `host` and `entry` touch the Cloudflare SDK. What does no I/O is
//! tested natively:
//!
//! ```
//! use edge::oauth::callback::AuthorizationResponse;
//!
//! // A callback without a state of ours is rejected.
//! assert!(AuthorizationResponse::parse("code=x&state=forged").is_err());
//! ```

pub mod auth;
pub mod connect;
pub mod credentials;
pub mod db;
pub mod display_name;
pub mod error;
pub mod findings;
pub mod health;
pub mod http;
pub mod ids;
pub mod integrations;
pub mod jobs;
pub mod moment;
pub mod oauth;
pub mod oauth_apps;
pub mod offer;
pub mod providers;
pub mod random;
pub mod refresh;
pub mod routes;
pub mod service;
pub mod settings;
pub mod tags;
pub mod webhooks;

pub use platform::json;

#[cfg(target_arch = "wasm32")]
mod context;
#[cfg(target_arch = "wasm32")]
mod entry;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod liveness;
#[cfg(target_arch = "wasm32")]
mod recovery;
#[cfg(target_arch = "wasm32")]
mod sealing;
