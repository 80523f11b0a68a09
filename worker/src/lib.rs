//! The worker at the edge: a signed-in user connects an account by OAuth, and its credentials rest sealed in Supabase.
//!
//! Each step of a protocol is a pair of plain functions, one that builds a request and one that reads the response; `flows` strings
//! them together, and `host` is the only folder that touches the Cloudflare SDK. So everything but those two is tested natively:
//!
//! ```
//! use edge::oauth::callback::Response;
//!
//! // A callback without a state of ours goes nowhere.
//! assert!(Response::parse("code=x&state=forged").is_err());
//! ```

pub mod credentials;
pub mod cron;
pub mod error;
pub mod failures;
pub mod fields;
pub mod health;
pub mod http;
pub mod ids;
pub mod json;
pub mod limits;
pub mod name;
pub mod oauth;
pub mod offer;
pub mod page;
pub mod providers;
pub mod random;
pub mod rate_limit;
pub mod refresh;
pub mod router;
pub mod seconds;
pub mod session;
pub mod settings;
pub mod supabase;
pub mod url;
pub mod webhook;

#[cfg(target_arch = "wasm32")]
mod flows;
#[cfg(target_arch = "wasm32")]
mod host;
