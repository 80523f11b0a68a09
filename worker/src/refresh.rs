//! What a refresh may take: how long others wait for it, how late it may start, when a sweep leaves a provider alone.
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
}
