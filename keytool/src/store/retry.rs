use std::time::Duration;

use tokio::time::sleep;

use super::failure::Failure;

/// The pauses before each retry of a temporary failure: about a minute in all.
const WAITS_MS: [u64; 12] = [
    100, 200, 500, 1000, 2000, 5000, 5000, 5000, 10_000, 10_000, 10_000, 10_000,
];

/// Repeats a call until it succeeds, fails permanently, or a minute has passed.
pub async fn retry<T>(call: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
    for wait in WAITS_MS {
        match call().await {
            Err(failure) if failure.may_pass() => sleep(Duration::from_millis(wait)).await,
            outcome => return outcome,
        }
    }
    call().await
}
