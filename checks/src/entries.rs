//! The entries that are compiled in.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::entry::Entry;
use crate::outcome;
use crate::rules;

/// The entries, as the build checked them.
const ENTRIES: &str = include_str!(concat!(env!("OUT_DIR"), "/entries.json"));

/// Every entry, by type.
pub fn entries() -> &'static [Entry] {
    static ENTRIES_READ: LazyLock<Vec<Entry>> =
        LazyLock::new(|| serde_json::from_str(ENTRIES).expect("the build has read the same text"));
    &ENTRIES_READ
}

/// The types that have checks.
pub fn types() -> Vec<&'static str> {
    entries().iter().map(|entry| entry.kind.as_str()).collect()
}

/// The entry of a type.
pub fn entry(kind: &str) -> Option<&'static Entry> {
    entries().iter().find(|entry| entry.kind == kind)
}

/// Reads an entry that is not compiled in, as the build reads one.
///
/// # Errors
///
/// What is wrong with it, naming the read or the check.
pub fn parse(text: &str) -> Result<Entry, String> {
    rules::parse(text, sealed::is_sensitive)
}

/// SHA-256 of all entries, in hex: two scans with the same value were judged by the same checks.
pub fn catalogue_hash() -> &'static str {
    static HASH: LazyLock<String> =
        LazyLock::new(|| outcome::hex(&Sha256::digest(ENTRIES.as_bytes())));
    &HASH
}
