//! Webhooks as Standard Webhooks has them (standardwebhooks.com): where they may go, how they are signed, what they say, and which
//! answer is a success. `docs/webhooks.md` is the receivers' side.

pub mod circuit_breaker;
#[cfg(target_arch = "wasm32")]
pub mod endpoints;
pub mod lanes;
pub mod message;
pub mod secret;
pub mod url_policy;
