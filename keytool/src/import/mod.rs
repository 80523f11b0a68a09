//! Imports connections through the worker's API: reads what other applications export, a line at a time, and sends each to
//! `POST /api/integrations/import`.

mod client;
mod connections;
mod entry;
mod formats;
mod n8n;
mod nango;
mod outcome;
mod reader;
mod run;
mod source;
mod supabase_auth;

pub use client::Client;
pub use outcome::{Code, Outcome};
pub use run::start;
pub use source::{Format, RowKeys, Source};
