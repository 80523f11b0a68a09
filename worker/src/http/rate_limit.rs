//! What a provider says of its rate limit. Whose limit that is, the entry says (`rate_limits`).

use chrono::{DateTime, Utc};
use std::time::UNIX_EPOCH;

/// The headers of an answer with a status of 400 or more, as they came; empty where there was none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    pub retry_after: String,
    /// X-RateLimit-Remaining, or RateLimit-Remaining.
    pub remaining: String,
    /// X-RateLimit-Reset, or RateLimit-Reset.
    pub reset: String,
}

/// The longest pause, in seconds. A provider that wants more says so again; one that is mistaken costs no more than this.
const PAUSE_MAX: u32 = 3_600;
/// From here on a reset is a moment: as a number of seconds to wait it would be 30 years.
const EPOCH_FROM: f64 = 1e9;
/// And from here on one in milliseconds.
const EPOCH_MS_FROM: f64 = 1e12;

impl Limits {
    /// How long nobody asks this provider, in seconds: 1 to 3,600. Only an answer that refuses can say so: a request that was answered
    /// may have been the last of one user's share.
    pub fn pause(&self, status: u16, now: DateTime<Utc>) -> Option<u32> {
        let asked = retry_after(&self.retry_after, now);
        let seconds = match status {
            429 => asked.or_else(|| self.reset_in(now)),
            // The same as a 429 at some providers, and else a missing right: then it has neither header.
            403 if self.remaining.trim() == "0" => asked.or_else(|| self.reset_in(now)),
            403 | 503 => asked,
            _ => None,
        };
        seconds
            .filter(|seconds| *seconds > 0)
            .map(|seconds| seconds.min(PAUSE_MAX))
    }

    fn reset_in(&self, now: DateTime<Utc>) -> Option<u32> {
        let reset = self.reset.trim();
        // Rust's numbers may have a sign or an exponent, or be infinite.
        if !reset.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return None;
        }
        let reset: f64 = reset.parse().ok()?;
        let now = now.timestamp_millis() as f64;
        let milliseconds = match reset {
            EPOCH_MS_FROM.. => reset - now,
            EPOCH_FROM.. => reset * 1_000.0 - now,
            _ => reset * 1_000.0,
        };
        // A moment that has passed becomes 0.
        Some(((milliseconds / 1_000.0).ceil() as u32).min(PAUSE_MAX))
    }
}

/// The longest wait that a Retry-After header can ask for, in seconds: a day.
const RETRY_AFTER_MAX: u64 = 86_400;

/// The seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3): a number, or a date in any of the three forms (5.6.7). A longer
/// wait counts as a day.
pub fn retry_after(header: &str, now: DateTime<Utc>) -> Option<u32> {
    let header = header.trim();
    let is_number = !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit());
    let seconds = if is_number {
        // It is a number, so it is only its size that can be wrong.
        header.parse().unwrap_or(RETRY_AFTER_MAX)
    } else {
        let moment = httpdate::parse_http_date(header).ok()?;
        let since_epoch = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.timestamp()).unwrap_or(0);
        since_epoch.as_secs().saturating_sub(now)
    };
    u32::try_from(seconds.min(RETRY_AFTER_MAX)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn limits(retry_after: &str, remaining: &str, reset: &str) -> Limits {
        Limits {
            retry_after: retry_after.into(),
            remaining: remaining.into(),
            reset: reset.into(),
        }
    }

    #[test]
    fn an_answer_that_refuses_may_ask_for_a_pause() {
        for (status, limits, pause) in [
            (429, limits("60", "", ""), Some(60)),
            (429, limits("60", "0", "30"), Some(60)),
            (429, limits("", "0", "30"), Some(30)),
            (429, limits("", "", "30"), Some(30)),
            (429, limits("", "", ""), None),
            (429, limits("0", "", ""), None),
            (429, limits("86400", "", ""), Some(3_600)),
            (429, limits("99999999999999999999", "", ""), Some(3_600)),
            (
                429,
                limits("Friday, 15-Jan-27 08:01:00 GMT", "", ""),
                Some(60),
            ),
            (429, limits("Fri Jan 15 08:01:00 2027", "", ""), Some(60)),
            (503, limits("120", "", ""), Some(120)),
            (503, limits("", "0", "30"), None),
            (403, limits("60", "", ""), Some(60)),
            (403, limits("", "0", "1800000090"), Some(90)),
            (403, limits("", "12", "1800000090"), None),
            (403, limits("", "", "30"), None),
            (401, limits("60", "0", "30"), None),
            (500, limits("60", "0", "30"), None),
        ] {
            assert_eq!(limits.pause(status, now()), pause, "{status} {limits:?}");
        }
    }

    #[test]
    fn a_reset_is_seconds_or_a_moment() {
        for (reset, pause) in [
            ("1", Some(1)),
            ("0.2", Some(1)),
            (" 59 ", Some(59)),
            ("1800000060", Some(60)),
            ("1800000060.5", Some(61)),
            ("1800000060000", Some(60)),
            ("1799999999", None),
            ("99999", Some(3_600)),
            ("12.5", Some(13)),
            ("0", None),
            ("99999999999999999999999999", Some(3_600)),
            ("-1", None),
            ("1e3", None),
            ("inf", None),
            ("NaN", None),
            ("", None),
            ("soon", None),
            ("Wed, 21 Oct 2099 07:28:00 GMT", None),
        ] {
            assert_eq!(limits("", "0", reset).pause(429, now()), pause, "{reset}");
        }
    }

    /// Threat model 128.
    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = DateTime::from_timestamp(1_445_412_420, 0).unwrap();
        for (header, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("4000000000", Some(86_400)),
            ("4294967296", Some(86_400)),
            ("99999999999999999999999999", Some(86_400)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("Wed, 21 Oct 2099 07:28:00 GMT", Some(86_400)),
            // The obsolete forms, which a recipient must read too (RFC 9110, 5.6.7).
            ("Wednesday, 21-Oct-15 07:28:00 GMT", Some(60)),
            ("Wed Oct 21 07:28:00 2015", Some(60)),
            ("Thu Oct  1 07:28:00 2015", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("Wed, 21 Oct 2015 07:28:00 +0000", None),
            ("soon", None),
            ("1.5", None),
        ] {
            assert_eq!(retry_after(header, now), expected, "{header}");
        }
    }
}
