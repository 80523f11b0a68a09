//! The data keys that a service has unwrapped, for a short time: each of its answers costs milliseconds and money.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use sealed::{DataKey, WrappedKey};
use uuid::Uuid;

/// How many are kept at most.
const KEPT: usize = 256;
/// How long in milliseconds. A right that was taken away at the service ends after this time.
const KEPT_MS: u64 = 5 * 60 * 1_000;

/// By the whole wrapped key. Its holder reads that from the database for each task, so a deleted data key is found here no more.
type Place = (Uuid, String, String);

#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<Place, Kept>>);

struct Kept {
    until: u64,
    data_key: DataKey,
}

impl Cache {
    pub fn get(&self, organization_id: Uuid, wrapped: &WrappedKey, now: u64) -> Option<DataKey> {
        let kept = self.0.lock().ok()?;
        let found = kept.get(&place(organization_id, wrapped))?;
        // A clock that was set back keeps nothing longer.
        let is_fresh = (found.until.saturating_sub(KEPT_MS)..found.until).contains(&now);
        is_fresh.then(|| found.data_key.clone())
    }

    pub fn put(&self, organization_id: Uuid, wrapped: &WrappedKey, data_key: &DataKey, now: u64) {
        let Ok(mut kept) = self.0.lock() else { return };
        kept.retain(|_, kept| now < kept.until);
        if kept.len() >= KEPT {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.until);
            let oldest = oldest.map(|(place, _)| place.clone());
            oldest.and_then(|place| kept.remove(&place));
        }
        let data_key = data_key.clone();
        let until = now + KEPT_MS;
        kept.insert(place(organization_id, wrapped), Kept { until, data_key });
    }
}

fn place(organization_id: Uuid, wrapped: &WrappedKey) -> Place {
    (
        organization_id,
        wrapped.kid.to_string(),
        wrapped.wrapped.clone(),
    )
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORGANIZATION: Uuid = Uuid::from_u128(1);

    fn wrapped(text: &str) -> WrappedKey {
        WrappedKey {
            kid: DataKey::from_bytes([1; 32]).kid(),
            wrapping_kid: DataKey::from_bytes([2; 32]).kid(),
            wrapped: text.to_owned(),
        }
    }

    #[test]
    fn a_key_is_found_by_its_whole_wrapped_form_for_five_minutes() {
        let cache = Cache::default();
        let data_key = DataKey::from_bytes([1; 32]);
        cache.put(ORGANIZATION, &wrapped("a"), &data_key, 1_000);
        let found =
            |organization, text, now| cache.get(organization, &wrapped(text), now).is_some();
        assert!(found(ORGANIZATION, "a", 1_000) && found(ORGANIZATION, "a", 300_999));
        assert!(!found(ORGANIZATION, "a", 301_000) && !found(ORGANIZATION, "a", 999));
        assert!(!found(ORGANIZATION, "b", 1_000) && !found(Uuid::nil(), "a", 1_000));
    }

    #[test]
    fn the_oldest_makes_room() {
        let cache = Cache::default();
        let data_key = DataKey::from_bytes([1; 32]);
        for n in 0..=256_u64 {
            cache.put(ORGANIZATION, &wrapped(&n.to_string()), &data_key, 1_000 + n);
        }
        assert_eq!(cache.0.lock().unwrap().len(), 256);
        assert!(cache.get(ORGANIZATION, &wrapped("0"), 1_300).is_none());
        assert!(cache.get(ORGANIZATION, &wrapped("1"), 1_300).is_some());
        cache.put(ORGANIZATION, &wrapped("x"), &data_key, 400_000);
        assert_eq!(cache.0.lock().unwrap().len(), 1);
    }
}
