//! The counts of rows, by what opens them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use kms::WrappingKeys;
use sealed::{Form, Kid};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::finding::{Class, Kind};
use crate::data_keys::Named;

/// How many keys and organizations are counted separately, so that memory is bounded. The rest are counted together.
const MAX_KIDS: usize = 1000;
pub const MAX_ORGANIZATIONS: usize = 20_000;

/// The counts of the table, or of one organization.
#[derive(Clone, Debug, Default)]
pub struct RowCounts {
    pub rows: u64,
    /// Sealed with a key of the deployment.
    pub by_kid: BTreeMap<Kid, u64>,
    /// Sealed with a data key, by the key that wraps it.
    pub by_wrapping_kid: BTreeMap<Kid, u64>,
    /// Sealed with a data key that the organization does not have.
    pub missing_data_key: u64,
    /// Sealed with a data key that was replaced.
    pub replaced_data_key: u64,
    pub other_kids: u64,
    pub legacy: u64,
    pub empty: u64,
    /// No form that this program knows.
    pub unreadable: u64,
    /// It opens, with the primary key or with a data key that the primary key wraps.
    pub done: u64,
    pub classes: BTreeMap<Class, u64>,
    /// Keys of the ring that have opened a row or its data key.
    pub opened_with: BTreeSet<Kid>,
}

/// What was seen of a row.
#[derive(Clone, Copy, Default)]
pub struct Look {
    pub form: Option<Form>,
    /// Its data key.
    pub named: Option<Named>,
    pub fault: Option<(Class, Kind)>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub all: RowCounts,
    pub organizations: HashMap<Uuid, RowCounts>,
    /// The rows of the organizations that are not counted separately.
    pub others: RowCounts,
    /// The organizations with rows on data keys, by the key that wraps those, up to a bound.
    pub with_data_keys: BTreeMap<Kid, HashSet<Uuid>>,
}

impl Seen {
    /// How many organizations have rows on data keys that this key wraps, for a person.
    pub fn organizations_of(&self, kid: Kid) -> String {
        match self.with_data_keys.get(&kid).map_or(0, HashSet::len) {
            1 => "1 organization".to_owned(),
            MAX_ORGANIZATIONS => format!("{MAX_ORGANIZATIONS} or more organizations"),
            count => format!("{count} organizations"),
        }
    }
}

impl RowCounts {
    pub fn do_not_open(&self) -> u64 {
        self.classes.values().sum()
    }

    /// Rows that hold something sealed and need another key than the primary one, or do not open. What no key of the ring can ever open is not
    /// left.
    pub fn left(&self) -> u64 {
        self.sealed() - self.done
    }

    fn sealed(&self) -> u64 {
        self.rows - self.empty - self.missing_data_key
    }

    /// Tenths of a per cent, rounded down: 1000 only if nothing is left.
    pub fn done_per_mille(&self) -> u64 {
        match self.sealed() {
            0 => 1000,
            sealed => self.done.saturating_mul(1000) / sealed,
        }
    }

    /// The rows that need another key than this one, or are of the legacy form.
    pub fn not_on(&self, kid: Kid) -> u64 {
        let kids = self.by_kid.iter().chain(&self.by_wrapping_kid);
        let others: u64 = kids
            .filter(|(one, _)| **one != kid)
            .map(|(_, rows)| rows)
            .sum();
        others + self.other_kids + self.legacy
    }

    pub fn count(&mut self, look: Look, ring: Option<&WrappingKeys>) {
        let Look { form, named, fault } = look;
        self.rows += 1;
        let kid = match (form, named) {
            (Some(Form::V2(kid)), _) => Some(kid),
            (_, Some(named)) => Some(named.wrapping_kid),
            _ => None,
        };
        if let (None, Some(ring), Some(kid)) = (fault, ring, kid) {
            self.opened_with.insert(kid);
            self.done += u64::from(kid == ring.primary_kid());
        }
        match form {
            Some(Form::V2(kid)) => {
                if self.by_kid.len() < MAX_KIDS || self.by_kid.contains_key(&kid) {
                    *self.by_kid.entry(kid).or_default() += 1;
                } else {
                    self.other_kids += 1;
                }
            }
            Some(Form::V3(_)) => match named {
                // As many as there are keys in the ring, and few more: wrapping keys are the deployment's.
                Some(named) if self.by_wrapping_kid.len() < MAX_KIDS => {
                    *self.by_wrapping_kid.entry(named.wrapping_kid).or_default() += 1;
                    self.replaced_data_key += u64::from(!named.is_current);
                }
                Some(_) => self.other_kids += 1,
                None => self.missing_data_key += 1,
            },
            Some(Form::Legacy) => self.legacy += 1,
            Some(Form::Empty) => self.empty += 1,
            _ => self.unreadable += 1,
        }
        if let Some((class, _)) = fault {
            *self.classes.entry(class).or_default() += 1;
        }
    }

    pub fn to_json(&self) -> Value {
        let by = |kids: &BTreeMap<Kid, u64>| {
            let kids = kids
                .iter()
                .map(|(kid, rows)| (kid.to_string(), json!(rows)));
            kids.collect::<Map<_, _>>()
        };
        let classes: Map<_, _> = self
            .classes
            .iter()
            .map(|(class, rows)| (class.as_str().to_owned(), json!(rows)))
            .collect();
        json!({
            "rows": self.rows,
            "by_kid": by(&self.by_kid),
            "by_wrapping_kid": by(&self.by_wrapping_kid),
            "missing_data_key": self.missing_data_key,
            "replaced_data_key": self.replaced_data_key,
            "other_kids": self.other_kids,
            "legacy_form": self.legacy,
            "nothing_sealed": self.empty,
            "unreadable": self.unreadable,
            "does_not_open": self.do_not_open(),
            "classes": classes,
        })
    }
}

#[cfg(test)]
mod tests {
    use sealed::{Fault, Key, KeyRing};

    use super::*;

    #[test]
    fn a_rotation_is_done_when_nothing_is_left_and_not_before() {
        let ring = KeyRing::new(Key::from_bytes([1; 32]), Vec::new()).unwrap();
        let ring = WrappingKeys::from(ring);
        let on_primary = Some(Form::V2(ring.primary_kid()));
        let count = |form, named, fault, counts: &mut RowCounts| {
            counts.count(Look { form, named, fault }, Some(&ring));
        };
        let mut counts = RowCounts::default();
        assert_eq!((counts.done_per_mille(), counts.left()), (1000, 0));
        for _ in 0..9999 {
            count(on_primary, None, None, &mut counts);
        }
        assert_eq!((counts.done_per_mille(), counts.left()), (1000, 0));
        count(Some(Form::Empty), None, None, &mut counts);
        assert_eq!((counts.done_per_mille(), counts.left()), (1000, 0));
        // One that names the primary key and does not open is left.
        let fault = Some((Class::Fault(Fault::NotAuthentic), Kind::Damaged));
        count(on_primary, None, fault, &mut counts);
        assert_eq!((counts.done_per_mille(), counts.left()), (999, 1));
        let fault = Some((Class::NoObject, Kind::Damaged));
        count(None, None, fault, &mut counts);
        count(Some(Form::Legacy), None, None, &mut counts);
        assert_eq!((counts.done_per_mille(), counts.left()), (999, 3));
        // A data key that the primary key wraps needs no other key; one that another key wraps does.
        let data_key = Some(Form::V3(ring.primary_kid()));
        let wrapped_by = |wrapping_kid| {
            Some(Named {
                wrapping_kid,
                is_current: true,
            })
        };
        let primary = ring.primary_kid();
        count(data_key, wrapped_by(primary), None, &mut counts);
        assert_eq!((counts.left(), counts.not_on(primary)), (3, 1));
        let other = "0123456789abcdef".parse().unwrap();
        count(data_key, wrapped_by(other), None, &mut counts);
        assert_eq!((counts.left(), counts.not_on(primary)), (4, 2));
        // No key of the ring opens what was sealed with a deleted data key.
        let fault = Some((Class::Fault(Fault::UnknownKey), Kind::MissingDataKey));
        count(data_key, None, fault, &mut counts);
        assert_eq!((counts.left(), counts.not_on(primary)), (4, 2));
        let by_kid: u64 = counts.by_kid.values().sum();
        let by_wrapping_kid: u64 = counts.by_wrapping_kid.values().sum();
        assert_eq!(
            by_kid
                + by_wrapping_kid
                + counts.missing_data_key
                + counts.legacy
                + counts.empty
                + counts.unreadable,
            counts.rows
        );
    }
}
