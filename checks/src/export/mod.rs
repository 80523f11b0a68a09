//! Writes the results of a scan in the formats that other tools read. Every format includes passed and unknown results.

mod content;
mod csv;
mod json;
mod ocsf;
mod sarif;

use serde_json::Value;

pub use content::{Export, Row};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// All that is known, in our own words.
    Json,
    /// RFC 4180, a line for each result; no cell is a formula.
    Csv,
    /// SARIF 2.1.0 (OASIS). Unknown is `kind: open`.
    Sarif,
    /// An array of OCSF 1.8.0 Compliance Findings (class 2003). Unknown is the status Warning.
    Ocsf,
}

impl Format {
    /// The text of several accounts, with a newline at its end.
    pub fn write(self, exports: &[Export]) -> String {
        match self {
            Self::Json => pretty(
                &serde_json::json!({ "accounts": exports.iter().map(json::write).collect::<Value>() }),
            ),
            Self::Csv => csv::write(exports),
            Self::Sarif => pretty(&sarif::write(exports)),
            Self::Ocsf => pretty(&exports.iter().flat_map(ocsf::write).collect()),
        }
    }
}

impl Export<'_> {
    /// The text of this account in a format, with a newline at its end.
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Json => pretty(&json::write(self)),
            other => other.write(std::slice::from_ref(self)),
        }
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
