//! Sends what a client authenticates.

use crate::host::{self, UpstreamResponse};
use crate::http::{HttpRequest, SendError};
use crate::oauth::Client;

/// Sends a request of the client. If the provider rejects the client's secret, sends the request once more with the fallback secret: a request whose
/// client is rejected is not processed, so its code or token is still valid (RFC 6749, 5.2). With a note the answer is held (`host::send_held`).
pub async fn send<E>(
    client: &Client,
    note: Option<&str>,
    request: impl Fn(&Client) -> Result<HttpRequest, E>,
) -> Result<Result<UpstreamResponse, SendError>, E> {
    let answer = once(&request(client)?, note).await;
    let is_rejected = client.fallback_secret.is_some()
        && answer
            .as_ref()
            .is_ok_and(|answer| client.is_rejected(&answer.read()));
    let other = is_rejected.then(|| client.with_fallback_secret());
    match other.flatten() {
        Some(other) => Ok(once(&request(&other)?, note).await),
        None => Ok(answer),
    }
}

async fn once(request: &HttpRequest, note: Option<&str>) -> Result<UpstreamResponse, SendError> {
    match note {
        Some(note) => host::send_held(request, note).await,
        None => host::send(request).await,
    }
}
