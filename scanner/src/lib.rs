//! The second worker: what the credentials are collected for. It has no routes. Once a minute it claims runs, opens their credentials,
//! asks the providers what the checks want to know, and stores what is found.
//!
//! A run is worked on in slices. Where it is and what it has found so far are kept in the database, so whichever scanner claims it next goes
//! on from there. A slice is a machine without I/O; [`slice`](mod@slice) says what is next, and `run` does it.
//!
//! ```
//! use scanner::address::placed;
//!
//! // For development and for self-hosted providers: the same path at another origin.
//! let base = Some("http://localhost:4000");
//! assert_eq!(placed("https://api.supabase.com/v1/projects", base), "http://localhost:4000/v1/projects");
//! ```

pub mod address;
pub mod credential;
pub mod db;
pub mod settings;
pub mod slice;
pub mod weight;

#[cfg(target_arch = "wasm32")]
mod entry;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod run;
#[cfg(target_arch = "wasm32")]
mod schedule;
