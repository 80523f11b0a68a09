//! The catalogue's providers, which `build.rs` compiles in.

use catalogue::{Provider, parse};

const COMPILED: &str = include_str!(concat!(env!("OUT_DIR"), "/providers.json"));

pub fn all() -> Result<Vec<Provider>, String> {
    parse(COMPILED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalogue::{Auth, Endpoint};

    #[test]
    fn a_rate_limit_in_a_scan_pauses_as_many_as_one_in_a_health_check() {
        let providers = all().unwrap();
        for entry in checks::entries() {
            let provider = providers
                .iter()
                .find(|provider| provider.kind == entry.kind);
            let Some(provider) = provider.filter(|provider| provider.auth == Auth::Oauth) else {
                continue;
            };
            assert_eq!(
                entry.pauses_after(),
                provider.pauses_after(Endpoint::Api),
                "{}",
                entry.kind
            );
        }
    }

    #[test]
    fn the_catalogue_is_read_and_every_type_stands_once() {
        let providers = all().unwrap();
        let mut kinds: Vec<_> = providers
            .iter()
            .map(|provider| provider.kind.as_str())
            .collect();
        assert_eq!(
            kinds[..2],
            ["supabase", "airtable"],
            "the source document's first, then by name"
        );
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), providers.len());
        assert!(kinds.len() >= 20);
    }
}
