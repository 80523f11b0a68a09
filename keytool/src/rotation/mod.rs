//! What happens to rows: judged one by one, a page at a time, pass after pass.

pub mod fence;
pub mod finding;
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
