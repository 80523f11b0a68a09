//! What rotations do with rows, one page at a time.

pub mod elsewhere;
pub mod export;
pub mod fence;
pub mod finding;
pub mod findings;
pub mod opening;
mod pass;
pub mod plan;
mod reseal;
pub mod retire;
pub mod rewrap;
pub mod row_counts;
pub mod sample;
pub mod scan;
pub mod scope;
pub mod throttle;
pub mod verify;
mod wrapping;
