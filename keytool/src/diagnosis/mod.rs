//! What `keytool doctor` looks at. It opens and writes nothing.

pub mod database;
pub mod program;
mod report;

pub use report::Report;
