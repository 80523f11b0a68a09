//! The database: one trait with two implementations, a direct connection to PostgreSQL and PostgREST. Both call the same functions of
//! `migrations/`.

mod address;
mod connect;
pub mod data_keys;
mod direct;
pub mod elsewhere;
mod failure;
pub mod registry;
mod rest;
pub mod retry;
mod rows;
mod tls;

pub use connect::Connector;
pub use failure::{Cause, Failure, unexpected_outcome};
pub use rows::{Function, NewServiceKey, Page, Patch, Row, Rows};
pub use tls::read_authorities;
