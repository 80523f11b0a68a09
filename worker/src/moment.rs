//! Times that a client gives.

use chrono::{DateTime, Datelike, Utc};

/// Parses a time (RFC 3339). None also for years that RFC 3339 or the database cannot write: an offset may lead past the year 9999.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (1..=9999).contains(&moment.year()).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_that_can_be_written_again() {
        for right in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59+23:59"] {
            assert!(parse(right).is_some(), "{right}");
        }
        for wrong in [
            "",
            "2027-02-30T00:00:00Z",
            "0000-12-31T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
