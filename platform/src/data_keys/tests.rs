use super::*;
use crate::call;
use crate::error::DatabaseFault;
use sealed::{Key, KeyRing};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);

/// The table `data_keys`, and what was asked of it.
struct Table {
    wrapping: WrappingKeys,
    rows: RefCell<Vec<Value>>,
    asked: RefCell<Vec<&'static str>>,
    next: Cell<u8>,
    /// What the key management service answers once. It is down otherwise.
    kms: RefCell<Option<Result<String, SendError>>>,
}

impl Table {
    fn new(keys: &[u8]) -> Self {
        let mut keys = keys.iter().map(|byte| Key::from_bytes([*byte; 32]));
        Self {
            wrapping: KeyRing::new(keys.next().unwrap(), keys.collect())
                .unwrap()
                .into(),
            rows: RefCell::default(),
            asked: RefCell::default(),
            next: Cell::default(),
            kms: RefCell::default(),
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

    fn wrapping(&self) -> &WrappingKeys {
        &self.wrapping
    }

    fn now(&self) -> u64 {
        1_795_871_092_000
    }

    async fn fetch(&self, _: HttpRequest) -> Result<HttpResponse, SendError> {
        self.asked.borrow_mut().push("kms");
        let answer = self.kms.take().unwrap_or(Err(SendError::Network));
        answer.map(|body| HttpResponse {
            status: 200,
            content_type: String::new(),
            body,
        })
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
    let stored = table
        .wrapping
        .ring
        .seal(&context(A), &plain(), &mut random)
        .unwrap();
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
    // So it is known before a token is redeemed.
    let refused = done(keys.prepare(&table, &[A]));
    assert!(matches!(refused, Err(SealFailure::Key(_))));
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

const ARN: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A worker whose data keys a key management service wraps.
fn with_kms() -> Table {
    let settings = |name: &str| {
        let value = match name {
            "WRAPPING_KEY" => format!("aws-kms:{ARN}"),
            "AWS_ACCESS_KEY_ID" => "AKIDEXAMPLEAKIDEXAMPLE".to_owned(),
            "AWS_SECRET_ACCESS_KEY" => "planted".to_owned(),
            _ => return None,
        };
        Some(value)
    };
    let mut table = Table::new(&[7]);
    let Table { wrapping, .. } = Table::new(&[7]);
    table.wrapping = kms::wrapping_keys(wrapping.ring, &settings, &|_| None).unwrap();
    table
}

/// Adds a data key to the table that the service has wrapped, and answers with it once.
fn unwraps(table: &Table, byte: u8, text: &str) {
    let key = DataKey::from_bytes([byte; 32]);
    table.rows.borrow_mut().push(json!({
        "organization_id": A, "kid": key.kid().to_string(), "wrapping_kid": table.wrapping.primary_kid().to_string(), "wrapped": text,
    }));
    answers(table, byte);
}

fn answers(table: &Table, byte: u8) {
    use base64::Engine;
    let plaintext = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
    let answer = json!({"KeyId": ARN, "Plaintext": plaintext}).to_string();
    table.kms.replace(Some(Ok(answer)));
}

// threat model 324
#[test]
fn a_service_unwraps_a_key_once_and_the_next_task_needs_it_no_more() {
    let table = with_kms();
    unwraps(&table, 1, "AQIC");
    let stored = sealed(&table, A);
    assert_eq!(table.asked(), ["read", "kms"]);
    let keys = DataKeys::default();
    assert!(opened(&table, &keys, &stored).is_ok());
    assert_eq!(table.asked(), ["read"]);
    // A deleted key opens nothing, although the service's answer is still known.
    table.rows.borrow_mut().clear();
    let unopened = opened(&table, &DataKeys::default(), &stored).unwrap_err();
    assert_eq!(unopened.class, Fault::UnknownKey);
}

// threat model 322
#[test]
fn a_service_that_is_down_is_no_fault_of_the_row() {
    let table = with_kms();
    unwraps(&table, 1, "AQIC");
    let stored = sealed(&table, A);
    // Its rows are wrapped anew, so that nothing is known of them.
    table.rows.borrow_mut()[0]["wrapped"] = json!("AQID");
    for failure in [SendError::Timeout, SendError::Network] {
        table.kms.replace(Some(Err(failure)));
        let error = done(DataKeys::default().open(&table, &context(A), &stored)).unwrap_err();
        assert_eq!(error.fault, DatabaseFault::Unavailable);
        assert!(
            error
                .detail
                .starts_with("data_keys: AWS KMS is unavailable: "),
            "{}",
            error.detail
        );
        // What cannot be repeated is not begun.
        let prepared = done(DataKeys::default().prepare(&table, &[A]));
        assert!(
            matches!(prepared, Err(SealFailure::Host(error)) if error.fault == DatabaseFault::Unavailable)
        );
    }
    answers(&table, 1);
    assert!(opened(&table, &DataKeys::default(), &stored).is_ok());
}

#[test]
fn the_ring_unwraps_what_it_has_wrapped_beside_a_service() {
    let before = Table::new(&[7]);
    let stored = sealed(&before, A);
    let table = with_kms();
    table.rows.replace(before.rows.take());
    assert!(opened(&table, &DataKeys::default(), &stored).is_ok());
    assert_eq!(table.asked(), ["read"]);
}
