//! How fast to go: no faster than asked for, and slower when the database says that it is too much.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use crate::database::{Failure, Function, Rows};

/// How long to wait before each further attempt of a call that failed for a reason that may pass: about a minute in all.
const WAITS_MS: [u64; 12] = [
    100, 200, 500, 1000, 2000, 5000, 5000, 5000, 10_000, 10_000, 10_000, 10_000,
];

/// How often the database is asked how it is.
const EVERY: Duration = Duration::from_secs(1);

pub struct Pace {
    /// Rows a second.
    max_rate: Option<u32>,
    max_lag: Duration,
    /// When the next batch may go.
    next: Cell<Instant>,
    /// How long batches wait now because of the database's state.
    pause: Cell<Duration>,
}

impl Pace {
    pub fn new(max_rate: Option<u32>, max_lag: Duration) -> Self {
        Self {
            max_rate,
            max_lag,
            next: Cell::new(Instant::now()),
            pause: Cell::new(Duration::ZERO),
        }
    }

    /// How many rows a page may have so that it is not more than a second's worth.
    pub fn limit(&self, batch: u16) -> u16 {
        let rate = self
            .max_rate
            .map_or(u16::MAX, |rate| u16::try_from(rate).unwrap_or(u16::MAX));
        batch.min(rate)
    }

    /// Waits until so many rows may be written.
    pub async fn admit(&self, rows: usize) {
        loop {
            // Read again after every wait: the pause ends when the database is well, not when a time has passed.
            while !self.pause.get().is_zero() {
                sleep(self.pause.get().min(EVERY)).await;
            }
            let from = self.next.get().max(Instant::now());
            if let Some(rate) = self.max_rate {
                let cost = Duration::from_secs_f64(rows as f64 / f64::from(rate));
                self.next.set(from + cost);
            }
            sleep_until(from).await;
            // Whoever came into a pause takes a new turn: else all that waited would go at once when it ends.
            if self.pause.get().is_zero() {
                return;
            }
        }
    }

    /// Asks the database how it is, again and again, until it is dropped.
    pub async fn watch(&self, connection: &dyn Rows) {
        loop {
            sleep(EVERY).await;
            // If it does not answer, the batches will notice soon enough, and whatever role we are may not see it.
            if let Ok(vitals) = connection.call(Function::RewrapVitals).await {
                self.heed(&vitals);
            }
        }
    }

    fn heed(&self, vitals: &Value) {
        let lag = vitals["replication_lag_seconds"].as_f64().unwrap_or(0.0);
        let waiting = vitals["lock_waits"].as_u64().unwrap_or(0);
        let is_well = lag <= self.max_lag.as_secs_f64() && waiting == 0;
        self.pause.set(match (is_well, self.pause.get()) {
            (true, _) => Duration::ZERO,
            (false, Duration::ZERO) => Duration::from_millis(200),
            (false, pause) => (pause * 2).min(EVERY),
        });
    }
}

/// Calls until it succeeds, fails for good, or has failed for about a minute.
pub async fn patiently<T>(call: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
    for wait in WAITS_MS {
        match call().await {
            Err(failure) if failure.may_pass() => sleep(Duration::from_millis(wait)).await,
            outcome => return outcome,
        }
    }
    call().await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_waited_through_a_pause_goes_no_faster_than_asked_for() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let pace = Pace::new(Some(100), Duration::from_secs(5));
            pace.heed(&json!({"lock_waits": 1}));
            let admitted = Cell::new(0);
            let batches = futures_util::future::join_all((0..4).map(|_| async {
                pace.admit(10).await;
                admitted.set(admitted.get() + 1);
            }));
            let ending = async {
                sleep(Duration::from_millis(300)).await;
                assert_eq!(admitted.get(), 0);
                pace.heed(&json!({"lock_waits": 0}));
                let ended = Instant::now();
                while admitted.get() < 4 {
                    // The first at once, then one every tenth of a second; a pause is noticed at most as much later as it is long.
                    assert!(admitted.get() <= 1 + ended.elapsed().as_millis() / 100);
                    sleep(Duration::from_millis(5)).await;
                }
            };
            futures_util::future::join(batches, ending).await;
        });
    }

    #[test]
    fn it_waits_while_the_database_is_not_well_and_no_longer() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        let pace = Pace::new(None, Duration::from_secs(5));
        for (vitals, pause_ms) in [
            (json!({"replication_lag_seconds": 5, "lock_waits": 0}), 0),
            (
                json!({"replication_lag_seconds": 5.5, "lock_waits": 0}),
                200,
            ),
            (
                json!({"replication_lag_seconds": null, "lock_waits": 1}),
                400,
            ),
            (json!({"replication_lag_seconds": 60, "lock_waits": 3}), 800),
            (
                json!({"replication_lag_seconds": 60, "lock_waits": 3}),
                1000,
            ),
            (
                json!({"replication_lag_seconds": null, "lock_waits": null}),
                0,
            ),
        ] {
            pace.heed(&vitals);
            assert_eq!(
                pace.pause.get(),
                Duration::from_millis(pause_ms),
                "{vitals}"
            );
        }
    }
}
