//! The data keys of organizations, for one task: a request, or a run of the schedule. Both workers open wrapped keys here and nowhere else.
//!
//! The keys live as long as the task, never longer: a key that is deleted opens nothing for the next one.

use crate::call::Call;
use crate::error::DatabaseError;
use sealed::{
    DataKey, Fault, Form, Kid, OpenError, OrganizationKeys, PlainConfig, RandomError, ResealError,
    RowContext, SealError, StoredConfig, WrappedKey, form,
};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use uuid::Uuid;

/// The most organizations in one call.
const BATCH: usize = 1_000;
/// How many organizations' keys are kept at the most. Beyond that they are read again.
const KEPT: usize = 4_000;

/// What a task has for this: its key ring, random bytes, and the database.
#[expect(async_fn_in_trait, reason = "workers run on one thread")]
pub trait Host {
    type Error: From<DatabaseError>;
    fn ring(&self) -> &sealed::KeyRing;
    fn random(&self, bytes: &mut [u8]) -> Result<(), RandomError>;
    async fn call<C: Call>(&self, call: &C) -> Result<C::Outcome, Self::Error>;
}

/// Why a config does not open.
#[derive(Debug)]
pub struct Unopened {
    pub class: Fault,
    /// The field and the class of the fault, never a value.
    pub detail: String,
    /// The key exists, and this deployment's ring does not have it or what opens it. Nothing is wrong with the row.
    pub lacks_key: bool,
}

/// Why a config was not sealed.
#[derive(Debug)]
pub enum SealFailure<E> {
    Host(E),
    Refused(SealError),
    /// The organization's data key does not open.
    Key(String),
}

/// The data keys that a task has read.
#[derive(Default)]
pub struct DataKeys {
    organizations: RefCell<BTreeMap<Uuid, Rc<Keys>>>,
    /// What was looked for twice, and is not there.
    absent: RefCell<BTreeSet<(Uuid, Kid)>>,
}

/// Those of one organization.
#[derive(Default)]
struct Keys {
    /// The first one seals, if its id is `current`.
    opened: Vec<DataKey>,
    unopened: Vec<(Kid, Fault)>,
    current: Option<Kid>,
}

impl Keys {
    fn has(&self, kid: Kid) -> bool {
        self.opened.iter().any(|key| key.kid() == kid) || self.fault(kid).is_some()
    }

    fn fault(&self, kid: Kid) -> Option<Fault> {
        let mut unopened = self.unopened.iter();
        unopened
            .find(|(other, _)| *other == kid)
            .map(|(_, fault)| *fault)
    }
}

impl DataKeys {
    /// Reads the keys of these organizations that are not known yet, in one call for a thousand.
    pub async fn load<H: Host>(&self, host: &H, organizations: &[Uuid]) -> Result<(), H::Error> {
        for batch in self.unknown(organizations).chunks(BATCH) {
            let call = ReadDataKeys {
                p_organization_ids: batch,
            };
            let Found::Found { data_keys } = host.call(&call).await?;
            self.keep(host, batch, &data_keys).await?;
        }
        Ok(())
    }

    /// The same, and makes a key for each organization that has none.
    pub async fn prepare<H: Host>(
        &self,
        host: &H,
        organizations: &[Uuid],
    ) -> Result<(), SealFailure<H::Error>> {
        self.load(host, organizations)
            .await
            .map_err(SealFailure::Host)?;
        let is_without = |id: &&Uuid| self.kept(**id).is_some_and(|keys| keys.current.is_none());
        let without: BTreeSet<Uuid> = organizations.iter().filter(is_without).copied().collect();
        let without: Vec<_> = without.into_iter().collect();
        for batch in without.chunks(BATCH) {
            let mut added = Vec::with_capacity(batch.len());
            for &organization_id in batch {
                let key = generate(host, organization_id).await;
                added.push(key.map_err(|error| SealFailure::Refused(error.into()))?);
            }
            let call = AddDataKeys {
                p_data_keys: &added,
            };
            let found = host.call(&call).await.map_err(SealFailure::Host)?;
            let Found::Found { data_keys } = found;
            let kept = self.keep(host, batch, &data_keys).await;
            kept.map_err(|error| SealFailure::Host(error.into()))?;
        }
        Ok(())
    }

    /// Keeps the keys of an organization that came with another answer of the database.
    pub async fn add<H: Host>(
        &self,
        host: &H,
        organization_id: Uuid,
        rows: &[Row],
    ) -> Result<(), DatabaseError> {
        self.keep(host, &[organization_id], rows).await
    }

    /// Forgets the keys of an organization, of which one has been deleted since.
    pub fn forget(&self, organization_id: Uuid) {
        self.organizations.borrow_mut().remove(&organization_id);
    }

    /// Forgets all keys.
    pub fn clear(&self) {
        self.organizations.borrow_mut().clear();
        self.absent.borrow_mut().clear();
    }

    /// Seals a config with the current data key of its organization.
    pub async fn seal<H: Host>(
        &self,
        host: &H,
        context: &RowContext,
        config: &PlainConfig,
    ) -> Result<StoredConfig, SealFailure<H::Error>> {
        let keys = self.sealing(host, context.organization_id).await?;
        OrganizationKeys::new(host.ring(), &keys.opened)
            .seal(context, config, &mut |bytes| host.random(bytes))
            .map_err(SealFailure::Refused)
    }

    /// Opens a config of any form. Data keys are read only if one has sealed it.
    pub async fn open<H: Host>(
        &self,
        host: &H,
        context: &RowContext,
        config: &StoredConfig,
    ) -> Result<Result<PlainConfig, Unopened>, H::Error> {
        let keys = match self.opening(host, context.organization_id, config).await? {
            Ok(keys) => keys,
            Err(unopened) => return Ok(Err(unopened)),
        };
        let opened = OrganizationKeys::new(host.ring(), &keys.opened).open(context, config);
        Ok(opened.map_err(|error| Unopened::of(&error, config)))
    }

    /// Seals a config again with the current data key. `None`: it is sealed with that key already.
    pub async fn reseal<H: Host>(
        &self,
        host: &H,
        context: &RowContext,
        config: &StoredConfig,
    ) -> Result<Result<Option<StoredConfig>, Unopened>, SealFailure<H::Error>> {
        let organization_id = context.organization_id;
        let opening = self.opening(host, organization_id, config).await;
        if let Err(unopened) = opening.map_err(SealFailure::Host)? {
            return Ok(Err(unopened));
        }
        let keys = self.sealing(host, organization_id).await?;
        let mut random = |bytes: &mut [u8]| host.random(bytes);
        let resealed =
            OrganizationKeys::new(host.ring(), &keys.opened).reseal(context, config, &mut random);
        match resealed {
            Ok(resealed) => Ok(Ok(resealed)),
            Err(ResealError::Open(error)) => Ok(Err(Unopened::of(&error, config))),
            Err(ResealError::Random(error)) => Err(SealFailure::Refused(error.into())),
        }
    }

    async fn sealing<H: Host>(
        &self,
        host: &H,
        organization_id: Uuid,
    ) -> Result<Rc<Keys>, SealFailure<H::Error>> {
        self.prepare(host, &[organization_id]).await?;
        let keys = self.kept(organization_id).unwrap_or_default();
        let sealing = keys.opened.first().map(DataKey::kid);
        if sealing.is_some() && sealing == keys.current {
            return Ok(keys);
        }
        let fault = keys.current.and_then(|kid| keys.fault(kid));
        let fault = fault.map_or("there is none", Fault::as_str);
        Err(SealFailure::Key(format!(
            "data_keys {organization_id}: the current key does not open ({fault})"
        )))
    }

    async fn opening<H: Host>(
        &self,
        host: &H,
        organization_id: Uuid,
        config: &StoredConfig,
    ) -> Result<Result<Rc<Keys>, Unopened>, H::Error> {
        let Form::V3(kid) = form(config) else {
            return Ok(Ok(self.kept(organization_id).unwrap_or_default()));
        };
        let known = self.kept(organization_id);
        let is_outdated = known.is_some_and(|keys| !keys.has(kid));
        if is_outdated && !self.absent.borrow().contains(&(organization_id, kid)) {
            self.forget(organization_id);
        }
        self.load(host, &[organization_id]).await?;
        let keys = self.kept(organization_id).unwrap_or_default();
        if !keys.has(kid) {
            self.absent.borrow_mut().insert((organization_id, kid));
        }
        Ok(match keys.fault(kid) {
            None => Ok(keys),
            Some(class) => Err(Unopened {
                class,
                detail: format!("/_enc: the data key {kid} does not open ({class})"),
                lacks_key: class == Fault::UnknownKey,
            }),
        })
    }

    fn kept(&self, organization_id: Uuid) -> Option<Rc<Keys>> {
        self.organizations.borrow().get(&organization_id).cloned()
    }

    fn unknown(&self, organizations: &[Uuid]) -> Vec<Uuid> {
        let kept = self.organizations.borrow();
        let unknown = organizations.iter().filter(|id| !kept.contains_key(id));
        let unknown: BTreeSet<_> = unknown.copied().collect();
        unknown.into_iter().collect()
    }

    /// Keeps the keys of these organizations, also of those that have none.
    async fn keep<H: Host>(
        &self,
        host: &H,
        organizations: &[Uuid],
        rows: &[Row],
    ) -> Result<(), DatabaseError> {
        let mut read: BTreeMap<Uuid, Keys> = BTreeMap::new();
        for row in rows {
            let wrapped = row.wrapped()?;
            let keys = read.entry(row.organization_id).or_default();
            keys.current.get_or_insert(wrapped.kid);
            match unwrap(host, row.organization_id, &wrapped).await {
                Ok(key) => keys.opened.push(key),
                Err(error) => keys.unopened.push((wrapped.kid, error.class())),
            }
        }
        let mut kept = self.organizations.borrow_mut();
        if kept.len() + organizations.len() > KEPT {
            kept.clear();
        }
        for id in organizations {
            kept.insert(*id, Rc::new(read.remove(id).unwrap_or_default()));
        }
        Ok(())
    }
}

/// The ring's keys wrap data keys; a key management service would be asked here.
async fn unwrap<H: Host>(
    host: &H,
    organization_id: Uuid,
    wrapped: &WrappedKey,
) -> Result<DataKey, OpenError> {
    host.ring().unwrap(organization_id, wrapped)
}

async fn generate<H: Host>(host: &H, organization_id: Uuid) -> Result<Row, RandomError> {
    let mut random = |bytes: &mut [u8]| host.random(bytes);
    let key = DataKey::generate(&mut random)?;
    let wrapped = host.ring().wrap(organization_id, &key, &mut random)?;
    Ok(Row {
        organization_id,
        kid: wrapped.kid.to_string(),
        wrapping_kid: wrapped.wrapping_kid.to_string(),
        wrapped: wrapped.wrapped,
    })
}

impl Unopened {
    fn of(error: &OpenError, config: &StoredConfig) -> Self {
        let (class, pointer) = (error.class(), error.pointer());
        Self {
            class,
            detail: format!("{pointer}: {error} ({class})"),
            // A data key that is not in the database is gone for every deployment.
            lacks_key: class == Fault::UnknownKey && !matches!(form(config), Form::V3(_)),
        }
    }
}

/// Reads the data keys of at most 1000 organizations.
#[derive(Serialize)]
struct ReadDataKeys<'a> {
    p_organization_ids: &'a [Uuid],
}

impl Call for ReadDataKeys<'_> {
    const NAME: &'static str = "data_keys";
    type Outcome = Found;
}

/// Adds a data key to each organization that has none, and reads what they have then.
#[derive(Serialize)]
struct AddDataKeys<'a> {
    p_data_keys: &'a [Row],
}

impl Call for AddDataKeys<'_> {
    const NAME: &'static str = "add_data_keys";
    type Outcome = Found;
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Found {
    /// The current key of each organization first.
    Found { data_keys: Vec<Row> },
}

/// A wrapped data key, as the database names its parts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub organization_id: Uuid,
    pub kid: String,
    pub wrapping_kid: String,
    pub wrapped: String,
}

impl Row {
    fn wrapped(&self) -> Result<WrappedKey, DatabaseError> {
        let kid = |text: &str| {
            let kid = text.parse::<Kid>();
            kid.map_err(|_| DatabaseError::invalid("data_keys: not a key id"))
        };
        Ok(WrappedKey {
            kid: kid(&self.kid)?,
            wrapping_kid: kid(&self.wrapping_kid)?,
            wrapped: self.wrapped.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
