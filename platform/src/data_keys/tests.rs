use super::*;
use crate::call;
use sealed::{Key, KeyRing};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);

/// The table `data_keys`, and what was asked of it.
struct Table {
    ring: KeyRing,
    rows: RefCell<Vec<Value>>,
    asked: RefCell<Vec<&'static str>>,
    next: Cell<u8>,
}

impl Table {
    fn new(keys: &[u8]) -> Self {
        let mut keys = keys.iter().map(|byte| Key::from_bytes([*byte; 32]));
        Self {
            ring: KeyRing::new(keys.next().unwrap(), keys.collect()).unwrap(),
            rows: RefCell::default(),
            asked: RefCell::default(),
            next: Cell::default(),
        }
    }

    /// The same rows, for a worker with other keys.
    fn of_ring(self, keys: &[u8]) -> Self {
        let rows = self.rows;
        let next = self.next;
        Self {
            rows,
            next,
            ..Self::new(keys)
        }
    }

    fn asked(&self) -> Vec<&'static str> {
        self.asked.take()
    }
}

impl Host for Table {
    type Error = DatabaseError;

    fn ring(&self) -> &KeyRing {
        &self.ring
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        bytes.fill_with(|| {
            self.next.set(self.next.get().wrapping_add(1));
            self.next.get()
        });
        Ok(())
    }

    async fn call<C: Call>(&self, call: &C) -> Result<C::Outcome, DatabaseError> {
        let arguments: Value = serde_json::from_str(&call::body(call)).unwrap();
        let (asked, ids) = match C::NAME {
            "data_keys" => (
                "read",
                arguments["p_organization_ids"].as_array().unwrap().clone(),
            ),
            _ => {
                let added = arguments["p_data_keys"].as_array().unwrap();
                self.rows.borrow_mut().extend(added.iter().cloned());
                (
                    "add",
                    added
                        .iter()
                        .map(|row| row["organization_id"].clone())
                        .collect(),
                )
            }
        };
        self.asked.borrow_mut().push(asked);
        let rows = self.rows.borrow();
        let found = rows
            .iter()
            .filter(|row| ids.contains(&row["organization_id"]));
        let found: Vec<_> = found.collect();
        call::outcome::<C>(&json!({"outcome": "found", "data_keys": found}).to_string())
    }
}

/// The table answers at once.
fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn context(organization_id: Uuid) -> RowContext {
    RowContext {
        organization_id,
        integration_id: Uuid::from_u128(9),
    }
}

fn plain() -> PlainConfig {
    PlainConfig::from_map(Map::from_iter([("token".to_owned(), json!("planted"))]))
}

fn sealed(table: &Table, organization: Uuid) -> StoredConfig {
    done(DataKeys::default().seal(table, &context(organization), &plain())).unwrap()
}

fn opened(table: &Table, keys: &DataKeys, config: &StoredConfig) -> Result<PlainConfig, Unopened> {
    done(keys.open(table, &context(A), config)).unwrap()
}

#[test]
fn seals_with_a_key_that_is_made_once_and_read_once_a_task() {
    let table = Table::new(&[7]);
    let keys = DataKeys::default();
    let stored = done(keys.seal(&table, &context(A), &plain())).unwrap();
    assert_eq!(stored["_enc"]["v"], 3);
    assert_eq!(table.asked(), ["read", "add"]);
    assert_eq!(
        opened(&table, &keys, &stored).unwrap().get_str("token"),
        Some("planted")
    );
    assert!(table.asked().is_empty());
    let again = sealed(&table, A);
    assert_eq!(again["_enc"], stored["_enc"]);
    assert_eq!(table.asked(), ["read"]);
}

#[test]
fn a_config_of_the_ring_needs_no_data_key() {
    let table = Table::new(&[7]);
    let mut random = |bytes: &mut [u8]| table.random(bytes);
    let stored = table.ring.seal(&context(A), &plain(), &mut random).unwrap();
    let keys = DataKeys::default();
    assert!(opened(&table, &keys, &stored).is_ok());
    assert!(table.asked().is_empty());
    let moved = done(keys.reseal(&table, &context(A), &stored))
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(moved["_enc"]["v"], 3);
    assert!(opened(&table, &keys, &moved).is_ok());
}

#[test]
fn many_organizations_are_one_call() {
    let table = Table::new(&[7]);
    let keys = DataKeys::default();
    done(keys.prepare(&table, &[A, B, A])).unwrap();
    assert_eq!(table.asked(), ["read", "add"]);
    assert_eq!(table.rows.borrow().len(), 2);
    done(keys.seal(&table, &context(B), &plain())).unwrap();
    assert!(table.asked().is_empty());
}

#[test]
fn a_newer_key_is_looked_for_once() {
    let table = Table::new(&[7]);
    let keys = DataKeys::default();
    done(keys.load(&table, &[A])).unwrap();
    let stored = sealed(&table, A);
    table.asked();
    assert!(opened(&table, &keys, &stored).is_ok());
    assert_eq!(table.asked(), ["read"]);
    table.rows.borrow_mut().clear();
    let keys = DataKeys::default();
    for asked in [vec!["read"], vec![], vec![]] {
        let unopened = opened(&table, &keys, &stored).unwrap_err();
        assert_eq!(
            (unopened.class, unopened.lacks_key),
            (Fault::UnknownKey, false)
        );
        assert_eq!(table.asked(), asked);
    }
}

#[test]
fn a_deleted_key_is_replaced_once_it_is_forgotten() {
    let table = Table::new(&[7]);
    let keys = DataKeys::default();
    let before = done(keys.seal(&table, &context(A), &plain())).unwrap();
    table.rows.borrow_mut().clear();
    keys.forget(A);
    let after = done(keys.seal(&table, &context(A), &plain())).unwrap();
    assert_ne!(before["_enc"], after["_enc"]);
    assert!(opened(&table, &keys, &before).is_err());
}

#[test]
fn a_key_whose_wrapping_key_is_missing_neither_opens_nor_is_replaced() {
    let table = Table::new(&[7]);
    let stored = sealed(&table, A);
    let table = table.of_ring(&[8]);
    let keys = DataKeys::default();
    let unopened = opened(&table, &keys, &stored).unwrap_err();
    assert_eq!(
        (unopened.class, unopened.lacks_key),
        (Fault::UnknownKey, true)
    );
    let refused = done(keys.seal(&table, &context(A), &plain()));
    assert!(matches!(refused, Err(SealFailure::Key(detail)) if detail.ends_with("(unknown-key)")));
    assert_eq!(table.asked(), ["read"]);
    // With the ring's own key nothing is sealed either.
    assert!(
        done(keys.reseal(&table, &context(A), &stored))
            .unwrap()
            .is_err()
    );
}

// Threat model 35.
#[test]
fn a_key_that_was_moved_from_another_organization_does_not_open() {
    let table = Table::new(&[7]);
    sealed(&table, B);
    table.rows.borrow_mut()[0]["organization_id"] = json!(A);
    let failure = done(DataKeys::default().seal(&table, &context(A), &plain()));
    assert!(
        matches!(failure, Err(SealFailure::Key(detail)) if detail.ends_with("(not-authentic)"))
    );
}

#[test]
fn an_older_key_opens_and_the_current_one_seals() {
    let table = Table::new(&[7]);
    let old = sealed(&table, A);
    let rows = table.rows.take();
    let new = sealed(&table, A);
    table.rows.borrow_mut().extend(rows);
    let keys = DataKeys::default();
    assert!(opened(&table, &keys, &old).is_ok());
    let moved = done(keys.reseal(&table, &context(A), &old))
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(moved["_enc"], new["_enc"]);
    assert!(
        done(keys.reseal(&table, &context(A), &moved))
            .unwrap()
            .unwrap()
            .is_none()
    );
}

#[test]
fn what_is_kept_has_a_bound() {
    let table = Table::new(&[7]);
    let keys = DataKeys::default();
    for batch in 0..6 {
        let ids: Vec<_> = (0..1_000)
            .map(|id| Uuid::from_u128(batch * 1_000 + id))
            .collect();
        done(keys.load(&table, &ids)).unwrap();
        assert!(keys.organizations.borrow().len() <= KEPT);
    }
}
