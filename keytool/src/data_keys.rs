//! The data keys of organizations. This is the only place that wraps and unwraps them.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use kms::{ServiceError, ServiceFault, UnwrapError, WrapError, WrappingKeys};
use sealed::{
    DataKey, Fault, Form, Kid, OrganizationKeys, PlainConfig, RowContext, StoredConfig, WrappedKey,
    form,
};
use serde_json::Value;
use uuid::Uuid;

use crate::config;
use crate::error::{Error, ErrorKind, Result};
use crate::rotation::finding::{Class, Finding, Kind};
use crate::service::Machine;
use crate::store::data_keys::{Rewrapped, StoredDataKey, read};
use crate::store::retry::retry;
use crate::store::{Function, Rows};
use crate::{input, random};

/// How many organizations or data keys one call takes.
pub const AT_ONCE: usize = 1000;

/// The data keys of some organizations, as many as a page of rows needs, unwrapped as far as they can be.
#[derive(Default)]
pub struct DataKeys {
    organizations: HashMap<Uuid, Organization>,
}

/// The data keys of one organization.
#[derive(Default)]
struct Organization {
    /// The current one first.
    stored: Vec<Stored>,
    /// Those that were unwrapped, in the same order.
    opened: Vec<DataKey>,
}

struct Stored {
    kid: Kid,
    wrapping_kid: Kid,
    /// Why it was not unwrapped. `None`: it was, or there was no ring.
    fault: Option<Fault>,
}

/// What a form says about the data key that it names.
#[derive(Clone, Copy)]
pub struct Named {
    pub wrapping_kid: Kid,
    /// It seals; it has not been replaced.
    pub is_current: bool,
}

/// The inner error: the data key does not unwrap, whoever tries.
async fn unwrap(
    ring: &WrappingKeys,
    organization_id: Uuid,
    wrapped: &WrappedKey,
) -> Result<Result<DataKey, Fault>> {
    match ring.unwrap(&Machine, organization_id, wrapped).await {
        Ok(data_key) => Ok(Ok(data_key)),
        Err(UnwrapError::Fault(fault)) => Ok(Err(fault)),
        Err(UnwrapError::Service(error)) => Err(failed(&error)),
    }
}

async fn wrap(
    ring: &WrappingKeys,
    organization_id: Uuid,
    data_key: &DataKey,
) -> Result<WrappedKey> {
    match ring.wrap(&Machine, organization_id, data_key).await {
        Ok(wrapped) => Ok(wrapped),
        Err(WrapError::Random(error)) => Err(error.into()),
        Err(WrapError::Service(error)) => Err(failed(&error)),
    }
}

/// Wraps a key with the key that wraps, and unwraps it again.
pub async fn try_out(ring: &WrappingKeys) -> Result<()> {
    let wrapped = generate(ring, Uuid::nil()).await?;
    match unwrap(ring, Uuid::nil(), &wrapped).await? {
        Ok(_) => Ok(()),
        Err(fault) => Err(Error::new(
            ErrorKind::Machine,
            format!("what it has wrapped does not unwrap ({fault})"),
        )),
    }
}

fn failed(error: &ServiceError) -> Error {
    let hint = match error.fault {
        ServiceFault::Unavailable => {
            "run the command again when it answers: what is done stays done"
        }
        ServiceFault::Refused => {
            "WRAPPING_KEY and AWS_ACCESS_KEY_ID need the rights kms:Encrypt and kms:Decrypt, and the key must be enabled"
        }
    };
    Error::new(ErrorKind::Machine, error.to_string()).hint(hint)
}

/// Makes a data key, wrapped with the primary key.
pub async fn generate(ring: &WrappingKeys, organization_id: Uuid) -> Result<WrappedKey> {
    let data_key = DataKey::generate(&mut random::fill)?;
    wrap(ring, organization_id, &data_key).await
}

/// Wraps a data key with the primary key instead of the one that wraps it. A fault: it does not unwrap.
pub async fn rewrap(
    ring: &WrappingKeys,
    stored: &StoredDataKey,
) -> Result<Result<Rewrapped, Fault>> {
    let organization_id = stored.organization_id;
    match unwrap(ring, organization_id, &stored.wrapped()).await? {
        Ok(data_key) => {
            let wrapped = wrap(ring, organization_id, &data_key).await?;
            Ok(Ok(stored.rewrapped_as(wrapped)))
        }
        Err(fault) => Ok(Err(fault)),
    }
}

impl DataKeys {
    /// Reads the data keys of these organizations, and unwraps them if there is a ring.
    pub async fn of(
        connection: &dyn Rows,
        ring: Option<&WrappingKeys>,
        organizations: impl Iterator<Item = Uuid>,
    ) -> Result<Self> {
        let organizations: BTreeSet<Uuid> = organizations.collect();
        let organizations: Vec<Uuid> = organizations.into_iter().collect();
        let mut data_keys = Self::default();
        for organizations in organizations.chunks(AT_ONCE) {
            let call = Function::DataKeys { organizations };
            let answer = retry(async || connection.call(call).await).await?;
            data_keys.take(ring, &answer).await?;
        }
        Ok(data_keys)
    }

    /// Those in a file with the answer of `data_keys`.
    pub async fn from_file(ring: &WrappingKeys, path: &Path) -> Result<Self> {
        let answer = input::json_file(path, "the file of --data-keys")?;
        Self::from_answer(ring, &answer).await
    }

    /// Those in the answer of `data_keys`.
    pub async fn from_answer(ring: &WrappingKeys, answer: &Value) -> Result<Self> {
        let mut data_keys = Self::default();
        data_keys.take(Some(ring), answer).await?;
        Ok(data_keys)
    }

    /// Gives each of these organizations a data key. In a dry run the keys live as long as this value.
    pub async fn add(
        &mut self,
        connection: &dyn Rows,
        ring: &WrappingKeys,
        organizations: BTreeSet<Uuid>,
        dry_run: bool,
    ) -> Result<()> {
        let mut new = Vec::with_capacity(organizations.len());
        for id in organizations {
            new.push(StoredDataKey::new(id, generate(ring, id).await?));
        }
        for data_keys in new.chunks(AT_ONCE) {
            if dry_run {
                for stored in data_keys {
                    self.insert(Some(ring), stored).await?;
                }
                continue;
            }
            let call = Function::AddDataKeys { data_keys };
            let answer = retry(async || connection.call(call).await).await?;
            self.take(Some(ring), &answer).await?;
        }
        Ok(())
    }

    async fn take(&mut self, ring: Option<&WrappingKeys>, answer: &Value) -> Result<()> {
        for stored in read(answer)? {
            self.insert(ring, &stored).await?;
        }
        Ok(())
    }

    async fn insert(&mut self, ring: Option<&WrappingKeys>, stored: &StoredDataKey) -> Result<()> {
        let id = stored.organization_id;
        let organization = self.organizations.entry(id).or_default();
        let fault = match ring {
            Some(ring) => match unwrap(ring, id, &stored.wrapped()).await? {
                Ok(data_key) => {
                    organization.opened.push(data_key);
                    None
                }
                Err(fault) => Some(fault),
            },
            None => None,
        };
        organization.stored.push(Stored {
            kid: stored.kid(),
            wrapping_kid: stored.wrapping_kid(),
            fault,
        });
        Ok(())
    }

    /// Whether this organization has none.
    pub fn has_none(&self, organization_id: Uuid) -> bool {
        !self.organizations.contains_key(&organization_id)
    }

    /// What is known of the data key that the form names. `None`: it names none, or its organization does not have it.
    pub fn named(&self, organization_id: Uuid, form: Form) -> Option<Named> {
        let Form::V3(kid) = form else { return None };
        let stored = &self.organizations.get(&organization_id)?.stored;
        let at = stored.iter().position(|stored| stored.kid == kid)?;
        Some(Named {
            wrapping_kid: stored[at].wrapping_kid,
            is_current: at == 0,
        })
    }

    /// The keys that open the configs of this organization. They seal only if [`current`](Self::current) says so.
    pub fn keys<'a>(
        &'a self,
        ring: &'a WrappingKeys,
        organization_id: Uuid,
    ) -> OrganizationKeys<'a> {
        let organization = self.organizations.get(&organization_id);
        OrganizationKeys::new(&ring.ring, organization.map_or(&[], |keys| &keys.opened))
    }

    /// The keys that seal the configs of this organization with its current data key. If that key was not unwrapped: why.
    pub fn current<'a>(
        &'a self,
        ring: &'a WrappingKeys,
        organization_id: Uuid,
    ) -> Result<OrganizationKeys<'a>, (Class, Kind)> {
        let current = self
            .organizations
            .get(&organization_id)
            .and_then(|keys| keys.stored.first());
        match current {
            None => Err((Class::Fault(Fault::UnknownKey), Kind::MissingDataKey)),
            Some(Stored {
                wrapping_kid,
                fault: Some(fault),
                ..
            }) => Err((Class::Fault(*fault), not_unwrapped(*wrapping_kid, *fault))),
            Some(_) => Ok(self.keys(ring, organization_id)),
        }
    }

    /// Opens a config, or says why it does not open.
    pub fn open(
        &self,
        ring: &WrappingKeys,
        context: RowContext,
        stored: &StoredConfig,
    ) -> Result<PlainConfig, Finding> {
        self.keys(ring, context.organization_id)
            .open(&context, stored)
            .map_err(|error| self.finding(context, form(stored), &error))
    }

    /// The same for the JSON text of a row's config.
    pub fn open_text(
        &self,
        ring: &WrappingKeys,
        context: RowContext,
        text: &str,
    ) -> Result<PlainConfig, Finding> {
        let stored = config::parse(text).map_err(|why| Finding::not_a_config(context, why))?;
        self.open(ring, context, &stored)
    }

    /// Why a config does not open.
    pub fn finding(&self, context: RowContext, form: Form, error: &sealed::OpenError) -> Finding {
        let finding = Finding::new(context, form, error);
        let (Form::V3(kid), Fault::UnknownKey) = (form, error.class()) else {
            return finding;
        };
        let organization = self.organizations.get(&context.organization_id);
        let stored = organization.and_then(|keys| keys.stored.iter().find(|key| key.kid == kid));
        match stored {
            Some(Stored {
                wrapping_kid,
                fault: Some(fault),
                ..
            }) => Finding {
                class: Class::Fault(*fault),
                kind: not_unwrapped(*wrapping_kid, *fault),
                ..finding
            },
            _ => finding,
        }
    }
}

/// What would help a row whose data key does not unwrap.
pub fn not_unwrapped(wrapping_kid: Kid, fault: Fault) -> Kind {
    match fault {
        Fault::UnknownKey => Kind::MissingKey(wrapping_kid),
        _ => Kind::Damaged,
    }
}
