use std::time::Duration;

use tokio::time::sleep;

use super::failure::Failure;

/// How long to wait before each further attempt of a call that failed for a reason that may pass: about a minute in all.
const WAITS_MS: [u64; 12] = [
    100, 200, 500, 1000, 2000, 5000, 5000, 5000, 10_000, 10_000, 10_000, 10_000,
];

/// Calls until it succeeds, fails for good, or has failed for about a minute.
pub async fn retry<T>(call: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
    for wait in WAITS_MS {
        match call().await {
            Err(failure) if failure.may_pass() => sleep(Duration::from_millis(wait)).await,
            outcome => return outcome,
        }
    }
    call().await
}
