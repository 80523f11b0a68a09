//! The client's side of OAuth 2.0 as RFC 9700 wants it: authorization code, PKCE with S256, `state`, and `iss`. Each step is a
//! pair of plain functions: build the request, read the response.

pub mod authorize;
pub mod callback;
pub mod client;
pub mod identity;
pub mod refresh;
mod response;
pub mod revoke;
pub mod token;

pub use client::Client;
pub use identity::Account;
pub use token::Grant;
