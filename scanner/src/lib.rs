//! The second worker, which uses the credentials that the first one collects. It has no routes. Once a minute it claims runs, opens their
//! credentials, sends the requests of the checks to the providers, and stores the results.
//!
//! A run is processed in slices. Its position and its results so far are in the database, so the scanner that claims it next continues from
//! there. A slice is a state machine without I/O: [`slice`](mod@slice) decides the next step, and `run` performs it.
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
