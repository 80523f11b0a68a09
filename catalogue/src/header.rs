//! Header names in entries.

use serde::{Deserialize, Deserializer};

/// A header name in lower case. The catalogue is read once per isolate, so its few names are leaked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderName(&'static str);

impl HeaderName {
    fn new(name: String) -> Self {
        Self(name.leak())
    }

    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether an entry may set this header. The others belong to the worker or to the runtime.
    pub fn is_free(self) -> bool {
        const OURS: [&str; 8] = [
            "authorization",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "host",
            "origin",
            "transfer-encoding",
        ];
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !self.0.is_empty() && self.0.bytes().all(plain) && !OURS.contains(&self.0)
    }
}

impl<'de> Deserialize<'de> for HeaderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
