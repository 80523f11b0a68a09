//! What happens to rows: judged one by one, a page at a time, pass after pass.

pub mod finding;
pub mod inspect;
pub mod pace;
pub mod pass;
pub mod reseal;
pub mod rewrap;
pub mod sample;
pub mod scope;
