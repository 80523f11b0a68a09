//! The data keys of organizations, for one task: a request, or a run of the schedule. Both workers open wrapped keys here and nowhere else.
//!
//! The keys live as long as the task, never longer: a key that is deleted opens nothing for the next one.

use crate::call::Call;
use crate::error::DatabaseError;
use crate::http::{HttpRequest, HttpResponse, SendError};
use kms::{NoAnswer, ServiceError, UnwrapError, WrapError, WrappingKeys};
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

/// How long the key management service may take, in milliseconds.
const KMS_MS: u32 = 5_000;

/// What a task has for this: the keys of the deployment, random bytes, the time, the database, and a way to the key management service.
#[expect(async_fn_in_trait, reason = "workers run on one thread")]
pub trait Host {
    type Error: From<DatabaseError>;
    fn wrapping(&self) -> &WrappingKeys;
    fn random(&self, bytes: &mut [u8]) -> Result<(), RandomError>;
    /// In milliseconds.
    fn now(&self) -> u64;
    /// Does not follow redirects.
    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, SendError>;
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
    /// The current one first.
    wrapped: Vec<WrappedKey>,
    /// Those that were needed.
    opened: RefCell<Vec<DataKey>>,
}

impl Keys {
    fn current(&self) -> Option<&WrappedKey> {
        self.wrapped.first()
    }

    fn named(&self, kid: Kid) -> Option<&WrappedKey> {
        self.wrapped.iter().find(|wrapped| wrapped.kid == kid)
    }

    fn opened(&self, kid: Kid) -> Option<DataKey> {
        let opened = self.opened.borrow();
        opened.iter().find(|key| key.kid() == kid).cloned()
    }

    /// Unwraps one of them, once a task.
    async fn unwrap<H: Host>(
        &self,
        host: &H,
        organization_id: Uuid,
        wrapped: &WrappedKey,
    ) -> Result<Result<DataKey, Fault>, ServiceError> {
        if let Some(key) = self.opened(wrapped.kid) {
            return Ok(Ok(key));
        }
        let service = Service(host);
        let unwrapped = host.wrapping().unwrap(&service, organization_id, wrapped);
        match unwrapped.await {
            Ok(key) => {
                self.opened.borrow_mut().push(key.clone());
                Ok(Ok(key))
            }
            Err(UnwrapError::Fault(fault)) => Ok(Err(fault)),
            Err(UnwrapError::Service(error)) => Err(error),
        }
    }
}

/// A host, as the key management service needs one.
struct Service<'a, H>(&'a H);

impl<H: Host> kms::Host for Service<'_, H> {
    fn now(&self) -> u64 {
        self.0.now()
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        self.0.random(bytes)
    }

    async fn send(&self, request: kms::Request) -> Result<kms::Response, NoAnswer> {
        let request = HttpRequest {
            method: "POST",
            url: request.url,
            headers: request.headers,
            body: Some(request.body),
            timeout_ms: KMS_MS,
            limit: kms::MAX_ANSWER,
        };
        match self.0.fetch(request).await {
            Ok(answer) => Ok(kms::Response {
                status: answer.status,
                body: answer.body.into(),
            }),
            Err(SendError::Timeout) => Err(NoAnswer::Timeout),
            Err(SendError::Network) => Err(NoAnswer::Network),
            Err(SendError::TooLarge) => Err(NoAnswer::TooLarge),
        }
    }
}

impl DataKeys {
    /// Reads the keys of these organizations that are not known yet, in one call for a thousand.
    pub async fn load<H: Host>(&self, host: &H, organizations: &[Uuid]) -> Result<(), H::Error> {
        for batch in self.unknown(organizations).chunks(BATCH) {
            self.read(host, batch).await?;
        }
        Ok(())
    }

    async fn read<H: Host>(&self, host: &H, organizations: &[Uuid]) -> Result<(), H::Error> {
        let call = ReadDataKeys {
            p_organization_ids: organizations,
        };
        let Found::Found { data_keys } = host.call(&call).await?;
        Ok(self.keep(organizations, &data_keys)?)
    }

    /// The same, and makes a key for each organization that has none. Of one organization alone the key that seals is unwrapped as well: sealing then
    /// depends on no service.
    pub async fn prepare<H: Host>(
        &self,
        host: &H,
        organizations: &[Uuid],
    ) -> Result<(), SealFailure<H::Error>> {
        self.load(host, organizations)
            .await
            .map_err(SealFailure::Host)?;
        let is_without = |id: &&Uuid| self.kept(**id).is_some_and(|keys| keys.current().is_none());
        let without: BTreeSet<Uuid> = organizations.iter().filter(is_without).copied().collect();
        let without: Vec<_> = without.into_iter().collect();
        for batch in without.chunks(BATCH) {
            let mut added = Vec::with_capacity(batch.len());
            for &organization_id in batch {
                added.push(generate(host, organization_id).await?);
            }
            let call = AddDataKeys {
                p_data_keys: &added,
            };
            let found = host.call(&call).await.map_err(SealFailure::Host)?;
            let Found::Found { data_keys } = found;
            let kept = self.keep(batch, &data_keys);
            kept.map_err(|error| SealFailure::Host(error.into()))?;
        }
        if let [organization_id] = organizations {
            self.current(host, *organization_id).await?;
        }
        Ok(())
    }

    /// Keeps the keys of an organization that came with another answer of the database.
    pub fn add(&self, organization_id: Uuid, rows: &[Row]) -> Result<(), DatabaseError> {
        self.keep(&[organization_id], rows)
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
        let key = self.sealing(host, context.organization_id).await?;
        OrganizationKeys::new(&host.wrapping().ring, &[key])
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
        let key = match self.opening(host, context.organization_id, config).await? {
            Ok(key) => key,
            Err(unopened) => return Ok(Err(unopened)),
        };
        let keys = OrganizationKeys::new(&host.wrapping().ring, key.as_slice());
        let opened = keys.open(context, config);
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
        let opening = match opening.map_err(SealFailure::Host)? {
            Ok(key) => key,
            Err(unopened) => return Ok(Err(unopened)),
        };
        let sealing = self.sealing(host, organization_id).await?;
        let keys: Vec<DataKey> = std::iter::once(sealing).chain(opening).collect();
        let mut random = |bytes: &mut [u8]| host.random(bytes);
        let keys = OrganizationKeys::new(&host.wrapping().ring, &keys);
        match keys.reseal(context, config, &mut random) {
            Ok(resealed) => Ok(Ok(resealed)),
            Err(ResealError::Open(error)) => Ok(Err(Unopened::of(&error, config))),
            Err(ResealError::Random(error)) => Err(SealFailure::Refused(error.into())),
        }
    }

    async fn sealing<H: Host>(
        &self,
        host: &H,
        organization_id: Uuid,
    ) -> Result<DataKey, SealFailure<H::Error>> {
        self.prepare(host, &[organization_id]).await?;
        self.current(host, organization_id).await
    }

    /// The key that seals, of an organization whose keys are known.
    async fn current<H: Host>(
        &self,
        host: &H,
        organization_id: Uuid,
    ) -> Result<DataKey, SealFailure<H::Error>> {
        let keys = self.kept(organization_id).unwrap_or_default();
        let fault = match keys.current() {
            Some(current) => match keys.unwrap(host, organization_id, current).await {
                Ok(Ok(key)) => return Ok(key),
                Ok(Err(fault)) => fault.as_str(),
                Err(error) => return Err(SealFailure::Host(DatabaseError::from(error).into())),
            },
            None => "there is none",
        };
        Err(SealFailure::Key(format!(
            "data_keys {organization_id}: the current key does not open ({fault})"
        )))
    }

    /// The data key that opens this config. `None`: it needs none, or the organization does not have it.
    async fn opening<H: Host>(
        &self,
        host: &H,
        organization_id: Uuid,
        config: &StoredConfig,
    ) -> Result<Result<Option<DataKey>, Unopened>, H::Error> {
        let Form::V3(kid) = form(config) else {
            return Ok(Ok(None));
        };
        let known = self.kept(organization_id);
        let is_outdated = known.is_some_and(|keys| keys.named(kid).is_none());
        if is_outdated && !self.absent.borrow().contains(&(organization_id, kid)) {
            // Not forgotten before: another part of the task may be about to seal a redeemed token with the keys that are known.
            self.read(host, &[organization_id]).await?;
        }
        self.load(host, &[organization_id]).await?;
        let keys = self.kept(organization_id).unwrap_or_default();
        let Some(wrapped) = keys.named(kid) else {
            self.absent.borrow_mut().insert((organization_id, kid));
            return Ok(Ok(None));
        };
        let unwrapped = keys.unwrap(host, organization_id, wrapped).await;
        Ok(match unwrapped.map_err(DatabaseError::from)? {
            Ok(key) => Ok(Some(key)),
            Err(class) => Err(Unopened {
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
    fn keep(&self, organizations: &[Uuid], rows: &[Row]) -> Result<(), DatabaseError> {
        let mut read: BTreeMap<Uuid, Keys> = BTreeMap::new();
        for row in rows {
            let keys = read.entry(row.organization_id).or_default();
            keys.wrapped.push(row.wrapped()?);
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

async fn generate<H: Host>(host: &H, organization_id: Uuid) -> Result<Row, SealFailure<H::Error>> {
    let failed = |error: RandomError| SealFailure::Refused(error.into());
    let key = DataKey::generate(&mut |bytes| host.random(bytes)).map_err(failed)?;
    let service = Service(host);
    let wrapped = host.wrapping().wrap(&service, organization_id, &key);
    let wrapped = wrapped.await.map_err(|error| match error {
        WrapError::Random(error) => failed(error),
        WrapError::Service(error) => SealFailure::Host(DatabaseError::from(error).into()),
    })?;
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
