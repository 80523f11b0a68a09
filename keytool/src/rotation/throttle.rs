//! The speed of a rotation: at most the requested rate, and slower while the database is under load.

use std::cell::Cell;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::{Error, ErrorKind, Result};
use crate::store::{Function, Rows};

/// How often the load is read.
const EVERY: Duration = Duration::from_secs(1);

/// How long a pause may last before the rotation fails. The load may never fall, or be reported wrongly.
const MAX_PAUSE: Duration = Duration::from_secs(600);

pub struct Throttle {
    /// Rows a second.
    max_rate: Option<u32>,
    max_lag: Duration,
    /// When the next batch may start.
    next: Cell<Instant>,
    /// How long batches wait now because of the load.
    pause: Cell<Duration>,
    /// When the pause began.
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

    /// No limit on the rate or on a replica's lag. It still pauses while others wait for locks.
    pub fn none() -> Self {
        Self::new(None, Duration::MAX)
    }

    /// Bounds the size of a page, so that it holds at most a second's worth of rows.
    pub fn limit(&self, batch: u16) -> u16 {
        let rate = self
            .max_rate
            .map_or(u16::MAX, |rate| u16::try_from(rate).unwrap_or(u16::MAX));
        batch.min(rate)
    }

    /// Waits until this many rows may be written. The wait is bounded.
    pub async fn admit(&self, rows: usize) -> Result<()> {
        loop {
            // Read again after every wait: the pause ends when the load falls.
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
            // A batch that was paused takes a new turn. Otherwise all waiting batches would start at once.
            if self.pause.get().is_zero() {
                return Ok(());
            }
        }
    }

    /// Reads the load periodically, until it is dropped.
    pub async fn watch(&self, connection: &dyn Rows) {
        loop {
            sleep(EVERY).await;
            // A failure is ignored: the batches notice a lost connection, and the role may lack the right to read the load.
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
        .hint("what was rewrapped stays so: run this again later, or with a larger --max-lag")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A clock that advances as soon as every task waits.
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
                    // The first batch starts at once, then one every tenth of a second. A pause is noticed after at most its own length.
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
            // A healthy reading in between starts a new pause.
            throttle.observe_load(&json!({"lock_waits": 0}));
            throttle.admit(1).await.unwrap();
        });
    }
}
