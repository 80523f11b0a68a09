//! How fast to go: no faster than asked for, and slower when the database says that it is too much.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::{Error, ErrorKind, Result};
use crate::store::{Function, Rows};

/// How often the database is asked how it is.
const EVERY: Duration = Duration::from_secs(1);

/// How long the database may be unwell before the rotation ends: what it says may never get better, or be untrue.
const MAX_PAUSE: Duration = Duration::from_secs(600);

pub struct Throttle {
    /// Rows a second.
    max_rate: Option<u32>,
    max_lag: Duration,
    /// When the next batch may go.
    next: Cell<Instant>,
    /// How long batches wait now because of the database's state.
    pause: Cell<Duration>,
    /// Since when.
    paused_at: Cell<Option<Instant>>,
}

impl Throttle {
    pub fn new(max_rate: Option<u32>, max_lag: Duration) -> Self {
        Self {
            max_rate,
            max_lag,
            next: Cell::new(Instant::now()),
            pause: Cell::new(Duration::ZERO),
            paused_at: Cell::new(None),
        }
    }

    /// As fast as it goes, whatever a replica's lag, but not while others wait for locks.
    pub fn none() -> Self {
        Self::new(None, Duration::MAX)
    }

    /// How many rows a page may have so that it is not more than a second's worth.
    pub fn limit(&self, batch: u16) -> u16 {
        let rate = self
            .max_rate
            .map_or(u16::MAX, |rate| u16::try_from(rate).unwrap_or(u16::MAX));
        batch.min(rate)
    }

    /// Waits until so many rows may be written; not for ever.
    pub async fn admit(&self, rows: usize) -> Result<()> {
        loop {
            // Read again after every wait: the pause ends when the database is well, not when a time has passed.
            while !self.pause.get().is_zero() {
                let is_over = |paused_at: Instant| paused_at.elapsed() >= MAX_PAUSE;
                if self.paused_at.get().is_some_and(is_over) {
                    return Err(too_long());
                }
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
                return Ok(());
            }
        }
    }

    /// Asks the database how it is, again and again, until it is dropped.
    pub async fn watch(&self, connection: &dyn Rows) {
        loop {
            sleep(EVERY).await;
            // If it does not answer, the batches will notice soon enough, and whatever role we are may not see it.
            if let Ok(load) = connection.call(Function::RewrapLoad).await {
                self.observe_load(&load);
            }
        }
    }

    fn observe_load(&self, load: &Value) {
        let lag = load["replication_lag_seconds"].as_f64().unwrap_or(0.0);
        let waiting = load["lock_waits"].as_u64().unwrap_or(0);
        if lag <= self.max_lag.as_secs_f64() && waiting == 0 {
            self.pause.set(Duration::ZERO);
            self.paused_at.set(None);
            return;
        }
        let paused_at = self.paused_at.get().unwrap_or_else(Instant::now);
        self.paused_at.set(Some(paused_at));
        self.pause.set(match self.pause.get() {
            Duration::ZERO => Duration::from_millis(200),
            pause => (pause * 2).min(EVERY),
        });
    }
}

fn too_long() -> Error {
    let minutes = MAX_PAUSE.as_secs() / 60;
    let message = format!(
        "for {minutes} minutes a replica has been too far behind, or others have waited for locks"
    );
    Error::new(ErrorKind::Database, message)
        .hint("what was moved stays moved: run this again later, or with a larger --max-lag")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A clock that moves by itself as soon as everybody waits.
    fn with_a_quick_clock(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(test);
    }

    #[test]
    fn what_waited_through_a_pause_goes_no_faster_than_asked_for() {
        with_a_quick_clock(async {
            let throttle = Throttle::new(Some(100), Duration::from_secs(5));
            throttle.observe_load(&json!({"lock_waits": 1}));
            let admitted = Cell::new(0);
            let batches = futures_util::future::join_all((0..4).map(|_| async {
                throttle.admit(10).await.unwrap();
                admitted.set(admitted.get() + 1);
            }));
            let ending = async {
                sleep(Duration::from_millis(300)).await;
                assert_eq!(admitted.get(), 0);
                throttle.observe_load(&json!({"lock_waits": 0}));
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
    fn waits_while_the_database_is_not_well_and_no_longer() {
        with_a_quick_clock(async {
            let throttle = Throttle::new(None, Duration::from_secs(5));
            for (load, pause_ms) in [
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
                throttle.observe_load(&load);
                assert_eq!(
                    throttle.pause.get(),
                    Duration::from_millis(pause_ms),
                    "{load}"
                );
            }
        });
    }

    /// Threat model 109.
    #[test]
    fn a_database_that_never_gets_well_ends_the_wait() {
        with_a_quick_clock(async {
            let throttle = Throttle::new(None, Duration::from_secs(5));
            let load = json!({"replication_lag_seconds": 1e300, "lock_waits": u64::MAX});
            let begun = Instant::now();
            throttle.observe_load(&load);
            let saying_so = async {
                loop {
                    throttle.observe_load(&load);
                    sleep(EVERY).await;
                }
            };
            let admitted = async {
                let error = throttle.admit(1).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Database);
            };
            tokio::select! {
                () = admitted => {}
                () = saying_so => {}
                () = sleep(3 * MAX_PAUSE) => panic!("it waits for ever"),
            }
            assert!(begun.elapsed() >= MAX_PAUSE);
            // Well again in between is another pause.
            throttle.observe_load(&json!({"lock_waits": 0}));
            throttle.admit(1).await.unwrap();
        });
    }
}
