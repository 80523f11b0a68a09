//! What a refresh may take: how long others wait for it, how late it may start, how many requests a sweep may send.
//!
//! The lease that the database gives (90 seconds, see `migrations/`) is longer than all of it together: [`START_WITHIN_MS`], the
//! provider's 20 seconds, and the write with its repetitions.

use crate::failures::Failures;

/// How late after its claim a redemption may start, in milliseconds.
pub const START_WITHIN_MS: f64 = 30_000.0;
/// The pauses before each try at writing what was redeemed, in milliseconds. The provider is never asked again instead.
pub const WRITE_PAUSES_MS: [u32; 4] = [0, 300, 1_000, 3_000];

/// The pauses of whoever waits for somebody else's refresh, in milliseconds: soon at first, and half a minute in all, which is more
/// than a provider may take.
pub fn waits() -> impl Iterator<Item = u32> {
    (0..).map(|n: u32| 50 << n.min(4)).take(42)
}

/// How long a sweep goes on asking each provider: one that is down must not keep the others' customers waiting, and one that wants no
/// more requests shares its limit among all of ours.
#[derive(Debug, Default)]
pub struct Patience(Failures<String>);

/// So many failures in a row are the provider's, not a customer's.
const FAILURES: u32 = 5;

/// How a redemption went, as far as the provider's health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered what it should.
    Good,
    /// It failed.
    Failed,
    /// It asked for a pause.
    Pause,
}

impl Patience {
    /// Takes note of a redemption at the provider of this type.
    pub fn note(&mut self, kind: &str, health: Health) {
        let failures = match health {
            Health::Good => 0,
            Health::Failed => self.0.at(kind).saturating_add(1),
            Health::Pause => FAILURES,
        };
        self.0.set(kind.to_owned(), failures);
    }

    /// Whether the provider is left alone until the next run.
    pub fn is_over(&self, kind: &str) -> bool {
        self.0.at(kind) >= FAILURES
    }
}

/// The requests that a sweep may still send. Cloudflare counts them by invocation.
#[derive(Debug)]
pub struct Budget(u32);

/// At the worst a row takes two requests: its redemption, and a write of its own.
const ROW: u32 = 2;

impl Budget {
    /// So many requests.
    pub fn new(requests: u32) -> Self {
        Self(requests)
    }

    /// How many rows a claim may ask for, so that it and they fit.
    pub fn rows(&self, most: u32) -> u32 {
        most.min(self.0.saturating_sub(1) / ROW)
    }

    /// A claim brought so many rows: all that they can take is set aside.
    pub fn claimed(&mut self, rows: usize) {
        self.0 = self.0.saturating_sub(1 + ROW * count(rows));
    }

    /// So many rows were written in one request instead of one each.
    pub fn written(&mut self, rows: usize) {
        self.0 += count(rows).saturating_sub(1);
    }
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX / ROW - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_dense_at_first_and_ends() {
        let waits: Vec<_> = waits().collect();
        assert_eq!(waits[..5], [50, 100, 200, 400, 800]);
        assert!((25_000..=35_000).contains(&waits.iter().sum::<u32>()));
    }

    #[test]
    fn patience_ends_with_one_provider_and_not_with_the_others() {
        let mut patience = Patience::default();
        for _ in 1..FAILURES {
            patience.note("a", Health::Failed);
        }
        patience.note("a", Health::Good);
        patience.note("a", Health::Failed);
        assert!(!patience.is_over("a"), "not in a row");
        for _ in 1..FAILURES {
            patience.note("a", Health::Failed);
        }
        patience.note("b", Health::Pause);
        assert!(patience.is_over("a") && patience.is_over("b") && !patience.is_over("c"));
    }

    #[test]
    fn a_sweep_stays_within_its_requests_whatever_the_writes() {
        for written_together in [1, 3, 100] {
            let (mut budget, mut sent, mut rows) = (Budget::new(600), 0, 0);
            loop {
                let claimed = budget.rows(100);
                if claimed == 0 {
                    break;
                }
                budget.claimed(claimed as usize);
                sent += 1 + claimed;
                rows += claimed;
                for chunk in vec![(); claimed as usize].chunks(written_together) {
                    budget.written(chunk.len());
                    sent += 1;
                }
            }
            assert!(sent <= 600, "{written_together}: {sent}");
            assert!(rows >= 290, "{written_together}: {rows}");
        }
    }

    #[test]
    fn a_budget_that_is_used_up_claims_nothing() {
        for requests in [0, 1, 2] {
            assert_eq!(Budget::new(requests).rows(100), 0);
        }
        assert_eq!(Budget::new(3).rows(100), 1);
    }
}
