//! One delivery: builds the request to the receiver and reads its response.

use crate::db::{Delivery, WebhookResult};
use crate::http::{HttpRequest, SendError};
use crate::webhooks::secret::SigningSecret;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

/// The receiver's timeout, in milliseconds.
pub const TIMEOUT_MS: u32 = 10_000;

/// Builds the request, signed with each of the secrets at this time.
pub fn request(delivery: &Delivery, secrets: &[SigningSecret], now: DateTime<Utc>) -> HttpRequest {
    #[derive(Serialize)]
    struct Payload<'a> {
        r#type: &'a str,
        timestamp: String,
        data: &'a Map<String, Value>,
    }
    let payload = Payload {
        r#type: &delivery.r#type,
        timestamp: delivery
            .occurred_at
            .to_rfc3339_opts(SecondsFormat::Millis, true),
        data: &delivery.data,
    };
    // Strings and JSON always serialize.
    let body = serde_json::to_string(&payload).unwrap_or_default();
    let id = delivery.event_id.to_string();
    let timestamp = now.timestamp();
    let signatures: Vec<_> = secrets
        .iter()
        .map(|secret| secret.sign(&id, timestamp, &body))
        .collect();
    HttpRequest {
        method: "POST",
        url: delivery.url.clone(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ],
        body: Some(body),
        timeout_ms: TIMEOUT_MS,
        // Only its status matters.
        limit: 0,
    }
}

/// Reads the response. Only a 2xx is a success. A redirect is not followed, because what is signed for one receiver must not go to another.
pub fn read(delivery: &Delivery, answer: Result<u16, SendError>) -> WebhookResult {
    let (status, error) = match answer {
        Ok(status @ 200..=299) => (Some(status), None),
        Ok(status @ 300..=399) => (Some(status), Some("redirect")),
        Ok(status) => (Some(status), Some("status")),
        Err(SendError::Timeout) => (None, Some("timeout")),
        Err(SendError::Network | SendError::TooLarge) => (None, Some("unreachable")),
    };
    WebhookResult {
        status,
        // For a receiver that is gone, the database must know which one it was.
        url: (status == Some(410)).then(|| delivery.url.clone()),
        ..WebhookResult::of(delivery, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use standardwebhooks::Webhook;

    fn delivery() -> Delivery {
        let json = r#"{
            "endpoint_id":"67e55044-10b1-426f-9247-bb680e5fe0c8","organization_id":"00000000-0000-4000-8000-000000000001",
            "url":"https://receiver.example/hook?a=b","config":{},"both":true,"slow":false,"event_id":"00000000-0000-4000-8000-000000000002",
            "type":"connection.created","occurred_at":"2026-11-26T06:00:00.123456+00:00","data":{"name":"Büro \"1\"","reason":null}}"#;
        serde_json::from_str(json).unwrap()
    }

    /// The library's clock. It accepts messages of the last five minutes only.
    #[expect(clippy::disallowed_methods, reason = "a test's clock")]
    fn library_now() -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        i64::try_from(since.unwrap().as_secs()).unwrap()
    }

    fn sent(secrets: &[SigningSecret], now: i64) -> (HttpRequest, HeaderMap) {
        let request = request(
            &delivery(),
            secrets,
            DateTime::from_timestamp(now, 0).unwrap(),
        );
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        (request, headers)
    }

    #[test]
    fn a_message_says_what_happened_and_when() {
        let (request, headers) = sent(&[SigningSecret::from_bytes([1; 32])], 1_700_000_000);
        assert_eq!(
            request.body.unwrap(),
            r#"{"type":"connection.created","timestamp":"2026-11-26T06:00:00.123Z","data":{"name":"Büro \"1\"","reason":null}}"#
        );
        assert_eq!(
            headers["webhook-id"],
            "00000000-0000-4000-8000-000000000002"
        );
        assert_eq!(headers["webhook-timestamp"], "1700000000");
        assert_eq!((request.limit, request.timeout_ms), (0, 10_000));
    }

    // Verified by the reference library for Rust.
    #[test]
    fn each_secret_verifies_what_both_have_signed_and_no_other_does() {
        let now = library_now();
        let (request, headers) = sent(
            &[1, 2].map(|byte| SigningSecret::from_bytes([byte; 32])),
            now,
        );
        let body = request.body.unwrap();
        let verifies = |byte, body: &str, headers: &HeaderMap| {
            let secret = SigningSecret::from_bytes([byte; 32]);
            let webhook = Webhook::new(secret.expose()).unwrap();
            webhook.verify(body.as_bytes(), headers).is_ok()
        };
        assert!(verifies(1, &body, &headers) && verifies(2, &body, &headers));
        assert!(!verifies(3, &body, &headers));
        assert!(!verifies(1, &format!("{body} "), &headers));
        for name in ["webhook-id", "webhook-timestamp"] {
            let mut moved = headers.clone();
            moved.insert(name, (now - 1).to_string().parse().unwrap());
            assert!(!verifies(1, &body, &moved), "{name}");
        }
    }

    #[test]
    fn only_a_2xx_is_a_success() {
        let delivery = delivery();
        for (answer, expected) in [
            (Ok(200), (Some(200), None)),
            (Ok(204), (Some(204), None)),
            (Ok(301), (Some(301), Some("redirect"))),
            (Ok(307), (Some(307), Some("redirect"))),
            (Ok(400), (Some(400), Some("status"))),
            (Ok(410), (Some(410), Some("status"))),
            (Ok(500), (Some(500), Some("status"))),
            (Err(SendError::Timeout), (None, Some("timeout"))),
            (Err(SendError::Network), (None, Some("unreachable"))),
        ] {
            let result = read(&delivery, answer);
            assert_eq!((result.status, result.error), expected);
            assert_eq!(result.url.is_some(), answer == Ok(410));
        }
    }
}
