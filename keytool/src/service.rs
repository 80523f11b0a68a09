//! The key management service, if one wraps the data keys: its settings, and the requests to it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kms::{Host, NoAnswer, Request, Response, SettingError, WrappingKeys};
use sealed::{KeyRing, RandomError};
use ureq::Agent;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::web::Server;
use crate::{random, settings};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// This machine, from which requests are sent.
pub struct Machine;

impl Host for Machine {
    #[expect(clippy::disallowed_methods, reason = "a signature needs the time")]
    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since
            .ok()
            .and_then(|since| since.as_millis().try_into().ok())
            .unwrap_or_default()
    }

    fn random(&self, bytes: &mut [u8]) -> std::result::Result<(), RandomError> {
        random::fill(bytes)
    }

    async fn send(&self, request: Request) -> std::result::Result<Response, NoAnswer> {
        let sent = tokio::task::spawn_blocking(move || post(&request));
        sent.await.unwrap_or(Err(NoAnswer::Network))
    }
}

fn post(request: &Request) -> std::result::Result<Response, NoAnswer> {
    // The settings' address was checked when they were read.
    let server = Server::parse("KMS_URL", "", &request.url, None);
    let agent: Agent = server.map_err(|_| NoAnswer::Network)?.agent;
    let mut post = agent
        .post(&request.url)
        .config()
        .timeout_global(Some(TIMEOUT))
        .build();
    for (name, value) in &request.headers {
        post = post.header(*name, value);
    }
    let no_answer = |error: ureq::Error| match error {
        ureq::Error::Timeout(_) => NoAnswer::Timeout,
        ureq::Error::BodyExceedsLimit(_) => NoAnswer::TooLarge,
        _ => NoAnswer::Network,
    };
    let mut answer = post.send(&request.body).map_err(no_answer)?;
    let status = answer.status().as_u16();
    let body = answer
        .body_mut()
        .with_config()
        .limit(kms::MAX_ANSWER.into())
        .read_to_string()
        .map_err(no_answer)?;
    let body = Zeroizing::new(body);
    Ok(Response { status, body })
}

/// The keys of a deployment: this ring, and the keys of `WRAPPING_KEY` and `FALLBACK_WRAPPING_KEY`, if they are set.
pub fn wrapping_keys(ring: KeyRing) -> Result<WrappingKeys> {
    let get = |name: &str| {
        settings::secret(name)
            .ok()
            .flatten()
            .map(|text| text.trim().to_owned())
    };
    let origin = |url: &str| {
        let server = Server::parse(
            "KMS_URL",
            "https://vpce-….kms.eu-central-1.vpce.amazonaws.com",
            url,
            None,
        );
        server.ok().map(|server| server.base)
    };
    kms::wrapping_keys(ring, &get, &origin).map_err(|error| {
        let (message, hint) = match error {
            SettingError::Missing(name) => (
                format!("{name} environment variable is not set"),
                "WRAPPING_KEY needs it: set it, or unset WRAPPING_KEY so that ENCRYPTION_KEY wraps",
            ),
            SettingError::Malformed(name, expected) => (
                format!("{name} environment variable is not {expected}"),
                "docs/deploy.md shows each of these settings",
            ),
        };
        Error::new(ErrorKind::Caller, message).hint(hint)
    })
}
