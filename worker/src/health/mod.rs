//! Whether a stored credential still works.

pub mod cron;
pub mod verdict;

#[cfg(target_arch = "wasm32")]
pub mod check;
