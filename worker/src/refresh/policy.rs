//! The time limits of a refresh: how long other callers wait for it, how late it may start, and when a run stops asking a provider.
//!
//! The database's lease (90 seconds, see `migrations/`) is longer than the sum: [`START_WITHIN_MS`], the provider's 20 seconds, and the write with
//! its retries.

use crate::ids::OrganizationId;
use uuid::Uuid;

/// How late after its claim a redemption may start, in milliseconds.
pub const START_WITHIN_MS: f64 = 30_000.0;
/// The pauses before each attempt to write a redemption's result, in milliseconds. The provider is never asked again.
pub const WRITE_PAUSES_MS: [u32; 4] = [0, 300, 1_000, 3_000];

/// The pauses of a caller that waits for another's refresh, in milliseconds: short at first, and half a minute in all, which is longer than the
/// provider's timeout.
pub fn waits() -> impl Iterator<Item = u32> {
    (0..).map(|n: u32| 50 << n.min(4)).take(42)
}

/// How long a run keeps asking one provider with one client, so that a failing provider does not delay the customers of others.
#[derive(Debug, Default)]
pub struct BackoffPolicy(Vec<(String, InARow)>);

#[derive(Debug, Default)]
struct InARow {
    failures: u32,
    /// A pause of an organization's own app: it has no other organization.
    is_paused: bool,
    /// The organizations that they concern, up to the number that matters.
    organizations: Vec<OrganizationId>,
}

/// This many consecutive failures, of this many organizations, are the provider's fault. A single organization, which may have its own server or
/// its own limit, does not stop the others.
const FAILURES: u32 = 5;
const ORGANIZATIONS: usize = 3;

/// The outcome of a request, as far as it concerns the provider's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The provider responded as expected.
    Good,
    Failed,
    /// The provider asked for a pause.
    Pause,
}

impl BackoffPolicy {
    /// Records a request of this organization. The client is an integration type, or the id of an organization's own app.
    pub fn note(&mut self, client: &str, organization: OrganizationId, health: RequestOutcome) {
        let position = self.0.iter().position(|(known, _)| known == client);
        let failures = match health {
            RequestOutcome::Good => {
                if let Some(position) = position {
                    self.0.swap_remove(position);
                }
                return;
            }
            RequestOutcome::Failed => 1,
            RequestOutcome::Pause => FAILURES,
        };
        let position = position.unwrap_or_else(|| {
            self.0.push((client.to_owned(), InARow::default()));
            self.0.len() - 1
        });
        let row = &mut self.0[position].1;
        row.is_paused |= health == RequestOutcome::Pause && Uuid::try_parse(client).is_ok();
        row.failures = row.failures.saturating_add(failures);
        if row.organizations.len() < ORGANIZATIONS && !row.organizations.contains(&organization) {
            row.organizations.push(organization);
        }
    }

    /// Whether the run sends nothing more to the provider with this client.
    pub fn is_over(&self, client: &str) -> bool {
        let noted = self.0.iter().find(|(known, _)| known == client);
        noted.is_some_and(|(_, row)| {
            row.is_paused || row.failures >= FAILURES && row.organizations.len() >= ORGANIZATIONS
        })
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

    fn organization(n: u128) -> OrganizationId {
        OrganizationId(Uuid::from_u128(n))
    }

    #[test]
    fn patience_ends_with_one_provider_and_not_with_the_others() {
        let mut patience = BackoffPolicy::default();
        for n in 1..u128::from(FAILURES) {
            patience.note("a", organization(n), RequestOutcome::Failed);
        }
        patience.note("a", organization(1), RequestOutcome::Good);
        patience.note("a", organization(1), RequestOutcome::Failed);
        assert!(!patience.is_over("a"), "not in a row");
        for n in 1..=u128::from(FAILURES) {
            patience.note("a", organization(n), RequestOutcome::Failed);
        }
        for n in 1..=ORGANIZATIONS {
            assert!(!patience.is_over("b"));
            patience.note("b", organization(n as u128), RequestOutcome::Pause);
        }
        assert!(patience.is_over("a") && patience.is_over("b") && !patience.is_over("c"));
    }

    #[test]
    fn a_pause_of_an_organizations_own_app_ends_it_at_once_and_its_failures_do_not() {
        let app = Uuid::from_u128(1).to_string();
        let mut patience = BackoffPolicy::default();
        for _ in 0..100 {
            patience.note(&app, organization(1), RequestOutcome::Failed);
        }
        assert!(!patience.is_over(&app));
        patience.note(&app, organization(1), RequestOutcome::Pause);
        assert!(patience.is_over(&app));
        patience.note(&app, organization(1), RequestOutcome::Good);
        assert!(!patience.is_over(&app));
    }

    #[test]
    fn one_organization_does_not_end_it() {
        let mut patience = BackoffPolicy::default();
        for n in 0..100 {
            patience.note("a", organization(n % 2), RequestOutcome::Failed);
            patience.note("a", organization(n % 2), RequestOutcome::Pause);
        }
        assert!(!patience.is_over("a"));
        patience.note("a", organization(7), RequestOutcome::Failed);
        assert!(patience.is_over("a"));
    }
}
