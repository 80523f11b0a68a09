//! Webhooks according to Standard Webhooks (standardwebhooks.com): where they may go, how they are signed, what they contain, and which response
//! is a success. `docs/webhooks.md` is for receivers.

pub mod circuit_breaker;
#[cfg(target_arch = "wasm32")]
pub mod endpoints;
pub mod lanes;
pub mod message;
pub mod organization;
pub mod secret;
pub mod url_policy;
