//! The way to the rows: one trait with two implementations, PostgreSQL directly and PostgREST, and the same functions of the
//! database behind both. `migrations/` defines them.

mod address;
mod connect;
mod direct;
mod failure;
pub mod registry;
mod rest;
pub mod retry;
mod rows;
mod tls;

pub use connect::Connector;
pub use failure::{Failure, unexpected_outcome};
pub use rows::{Function, Page, Patch, Row, Rows, Written};
