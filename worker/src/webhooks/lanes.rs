//! Which deliveries a run of the schedule sends concurrently, and when it stops sending to a receiver.

use crate::http::LANES;
use crate::ids::EndpointId;
use crate::webhooks::circuit_breaker::Failures;

/// How many lanes may serve receivers that are slow, failing or new. The others stay free for the rest.
const SLOW_LANES: usize = 2;

/// How many claimed deliveries may wait for a lane: enough for the lanes while the next ones are claimed.
const AHEAD: usize = 10;

/// A receiver that takes this long is slow, in milliseconds. `settle_webhook_deliveries` uses the same limit.
const SLOW_MS: u32 = 2_000;

/// After this number of consecutive failures, the run sends nothing more to a receiver.
const FAILURES: u32 = 2;

/// The lanes of one run.
#[derive(Debug, Default)]
pub struct Lanes {
    /// The number of deliveries in flight.
    in_flight: usize,
    /// The number of claimed deliveries, in flight or waiting, for slow receivers.
    slow: usize,
    failures: Failures<EndpointId>,
    /// The receivers that were slow in this run.
    found_slow: Vec<EndpointId>,
}

/// What the next claim may return.
#[derive(Debug, PartialEq, Eq)]
pub struct Room {
    pub limit: u32,
    /// The most of them for slow receivers.
    pub slow: u32,
}

impl Lanes {
    /// What may be claimed while this number of deliveries waits for a lane. None: nothing yet.
    pub fn room(&self, waiting: usize) -> Option<Room> {
        if waiting > AHEAD / 2 {
            return None;
        }
        let limit = (LANES + AHEAD).saturating_sub(self.in_flight + waiting);
        Some(Room {
            limit: count(limit),
            slow: count(SLOW_LANES.saturating_sub(self.slow)),
        })
    }

    pub fn claimed(&mut self, is_slow: bool) {
        self.slow += usize::from(is_slow);
    }

    /// Whether a lane is free.
    pub fn is_free(&self) -> bool {
        self.in_flight < LANES
    }

    /// A delivery takes a lane.
    pub fn taken(&mut self) {
        self.in_flight += 1;
    }

    /// A delivery leaves its lane.
    pub fn left(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A claimed delivery has ended, sent or not.
    pub fn ended(&mut self, was_slow: bool) {
        self.slow = self.slow.saturating_sub(usize::from(was_slow));
    }

    /// Records a receiver's result and its duration in milliseconds.
    pub fn note(&mut self, endpoint: EndpointId, success: bool, took_ms: u32) {
        let failures = if success {
            0
        } else {
            self.failures.at(&endpoint).saturating_add(1)
        };
        self.failures.set(endpoint, failures);
        if took_ms >= SLOW_MS && !self.found_slow.contains(&endpoint) {
            self.found_slow.push(endpoint);
        }
    }

    /// Whether a claimed delivery is given back: its receiver has failed too often, or was slow although the delivery was claimed for a fast lane.
    pub fn gives_back(&self, endpoint: EndpointId, is_slow: bool) -> bool {
        self.failures.at(&endpoint) >= FAILURES || (!is_slow && self.found_slow.contains(&endpoint))
    }

    /// The receivers to which this run sends nothing more.
    pub fn passed_by(&self) -> Vec<EndpointId> {
        self.failures.reaching(FAILURES).copied().collect()
    }
}

fn count(deliveries: usize) -> u32 {
    u32::try_from(deliveries).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn endpoints() -> [EndpointId; 2] {
        [1, 2].map(|n| EndpointId(Uuid::from_u128(n)))
    }

    #[test]
    fn slow_receivers_leave_lanes_to_the_others() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.room(0), Some(Room { limit: 15, slow: 2 }));
        for _ in 0..2 {
            lanes.claimed(true);
            lanes.taken();
        }
        assert!(lanes.is_free());
        assert_eq!(lanes.room(0), Some(Room { limit: 13, slow: 0 }));
        lanes.left();
        lanes.ended(true);
        assert_eq!(lanes.room(0), Some(Room { limit: 14, slow: 1 }));
    }

    #[test]
    fn no_more_than_the_lanes_are_in_flight_and_few_wait() {
        let mut lanes = Lanes::default();
        while lanes.is_free() {
            lanes.claimed(false);
            lanes.taken();
        }
        assert_eq!(lanes.in_flight, 5);
        assert_eq!(lanes.room(5), Some(Room { limit: 5, slow: 2 }));
        assert_eq!(lanes.room(6), None);
    }

    #[test]
    fn a_receiver_that_fails_twice_in_a_row_is_left_alone() {
        let [a, b] = endpoints();
        let mut lanes = Lanes::default();
        for success in [false, true, false] {
            lanes.note(a, success, 10);
        }
        assert!(!lanes.gives_back(a, true) && lanes.passed_by().is_empty());
        lanes.note(a, false, 10);
        lanes.note(b, false, 10);
        assert!(lanes.gives_back(a, true) && !lanes.gives_back(b, true));
        assert_eq!(lanes.passed_by(), [a]);
    }

    #[test]
    fn what_was_claimed_of_a_receiver_before_it_was_slow_is_given_back() {
        let [a, b] = endpoints();
        let mut lanes = Lanes::default();
        lanes.note(a, true, 2_000);
        lanes.note(b, true, 1_999);
        assert!(lanes.gives_back(a, false) && !lanes.gives_back(b, false));
        assert!(!lanes.gives_back(a, true), "this one has a slow lane");
        assert!(lanes.passed_by().is_empty());
    }
}
