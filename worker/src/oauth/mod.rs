//! An OAuth 2.0 client as RFC 9700 describes it: authorization code, PKCE with S256, `state` and `iss`. Each step is a pair of plain functions:
//! one builds the request, one reads the response. `send` performs the I/O between them.

pub mod authorize;
pub mod callback;
pub mod client;
pub mod identity;
pub mod refresh;
mod response;
pub mod revoke;
pub mod scopes;
#[cfg(target_arch = "wasm32")]
mod send;
pub mod token;

pub use client::Client;
pub use identity::Account;
#[cfg(target_arch = "wasm32")]
pub use send::send;
pub use token::Grant;
