//! The scanner's results: the catalogue of checks, the coverage of a grant, runs, findings, mutes and exports. The scanner is another worker;
//! this one queues runs and shows the stored results to members.

pub mod export;
pub mod filter;
pub mod shown_checks;

#[cfg(target_arch = "wasm32")]
pub mod assessments;
#[cfg(target_arch = "wasm32")]
pub mod coverage;
#[cfg(target_arch = "wasm32")]
pub mod download;
#[cfg(target_arch = "wasm32")]
pub mod list;
#[cfg(target_arch = "wasm32")]
pub mod mutes;
