//! What rotations do with rows, one page at a time.

pub mod fence;
mod finding;
pub mod findings;
mod moved;
pub mod opening;
mod reseal;
pub mod retire;
pub mod rewrap;
pub mod sample;
pub mod scan;
pub mod scope;
pub mod throttle;
pub mod verify;
