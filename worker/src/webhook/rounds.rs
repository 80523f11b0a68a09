//! What one run of the schedule may spend on deliveries, and how long it goes on asking a receiver that fails.

use crate::failures::Failures;
use crate::ids::EndpointId;

/// How many deliveries a claim asks for at the most: with ten seconds for each and five side by side less than the lease.
const BATCH: u32 = 30;

/// So many failures in a row, and the receiver is left alone until the next run.
const FAILURES: u32 = 2;

/// The requests that are left, and the receivers that are passed by.
#[derive(Debug)]
pub struct Rounds {
    requests: u32,
    failures: Failures<EndpointId>,
}

impl Rounds {
    /// So many requests.
    pub fn new(requests: u32) -> Self {
        Self {
            requests,
            failures: Failures::default(),
        }
    }

    /// One request that is no delivery.
    pub fn spend(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    /// How many deliveries the next claim may ask for, so that it, they, and what writes their ends fit (which may take a second try).
    pub fn batch(&self) -> u32 {
        BATCH.min(self.requests.saturating_sub(3))
    }

    /// A claim brought so many: all that they can take is set aside.
    pub fn claimed(&mut self, deliveries: usize) {
        let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX / 2);
        self.requests = self.requests.saturating_sub(3 + deliveries);
    }

    /// Takes note of how a delivery went.
    pub fn note(&mut self, endpoint: EndpointId, success: bool) {
        let failures = if success {
            0
        } else {
            self.failures.at(&endpoint) + 1
        };
        self.failures.set(endpoint, failures);
    }

    /// Whether this receiver is left alone.
    pub fn is_over(&self, endpoint: EndpointId) -> bool {
        self.failures.at(&endpoint) >= FAILURES
    }

    /// All that are left alone.
    pub fn passed_by(&self) -> Vec<EndpointId> {
        self.failures.reaching(FAILURES).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_run_stays_within_its_requests() {
        for requests in [0, 3, 4, 20, 200] {
            let (mut rounds, mut sent) = (Rounds::new(requests), 0);
            loop {
                let batch = rounds.batch();
                if batch == 0 {
                    break;
                }
                rounds.claimed(batch as usize);
                sent += 1 + batch + 2;
            }
            assert!(sent <= requests, "{requests}: {sent}");
            assert!(requests < 200 || sent > 190, "{sent}");
        }
    }

    #[test]
    fn a_receiver_that_fails_twice_in_a_row_is_left_alone() {
        let [a, b] = [1, 2].map(|n| EndpointId(Uuid::from_u128(n)));
        let mut rounds = Rounds::new(200);
        for success in [false, true, false] {
            rounds.note(a, success);
        }
        assert!(!rounds.is_over(a) && rounds.passed_by().is_empty());
        rounds.note(a, false);
        rounds.note(b, false);
        assert!(rounds.is_over(a) && !rounds.is_over(b));
        assert_eq!(rounds.passed_by(), [a]);
    }
}
