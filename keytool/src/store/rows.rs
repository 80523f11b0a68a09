use std::pin::Pin;

use sealed::{Form, Kid};
use serde_json::Value;
use uuid::Uuid;

use super::data_keys::{Replacement, Rewrapped, StoredDataKey};
use super::failure::Failure;

/// A future of a database call. Everything runs on one thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

/// One connection. Calls may overlap: a direct connection sends each after the response to the one before.
pub trait Rows {
    /// Reads the next rows in the order of their ids. No row means the end. See `rewrap_read`.
    fn read<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<Row>>;

    /// Writes each patch if the row still has the version that was read, and returns how many were written. See `rewrap_write`.
    fn write<'a>(&'a self, patches: &'a [Patch]) -> Answer<'a, u64>;

    /// Calls a function that returns one JSON value.
    fn call<'a>(&'a self, function: Function<'a>) -> Answer<'a, Value>;
}

#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Rows after this id; from the first one if `None`.
    pub after: Option<Uuid>,
    /// Up to this id, inclusive.
    pub until: Option<Uuid>,
    pub limit: u16,
    /// Only rows that are not sealed with their organization's current data key.
    pub pending: bool,
    pub organization: Option<Uuid>,
}

#[derive(Debug)]
pub struct Row {
    pub id: Uuid,
    pub organization_id: Uuid,
    /// The config as JSON text.
    pub config: String,
    /// The version of the row, as the database writes it.
    pub version: String,
}

/// A patch to merge into a row's config.
#[derive(Debug)]
pub struct Patch {
    pub id: Uuid,
    /// What the row was sealed with.
    pub from: Form,
    pub version: String,
    /// A JSON object: the fields that hold secrets, whole, and `_enc`.
    pub json: String,
}

impl Patch {
    /// The key that the row was sealed with; `None` in the legacy form.
    pub fn old_kid(&self) -> Option<String> {
        match self.from {
            Form::V2(kid) | Form::V3(kid) => Some(kid.to_string()),
            _ => None,
        }
    }
}

/// The functions that return one JSON value.
#[derive(Clone, Copy, Debug)]
pub enum Function<'a> {
    DeclareFence {
        kids: &'a [String],
    },
    LiftFence,
    /// Rows were found to be sealed with these keys.
    RecordKeys {
        kids: &'a [Kid],
    },
    UnretireKey {
        kid: Kid,
    },
    RetireKey {
        kid: Kid,
        fence: Uuid,
    },
    KeyRegistryState,
    /// Reads what is sealed outside `integrations`, after this table and id.
    ReadSealedElsewhere {
        table: Option<&'a str>,
        id: Option<Uuid>,
    },
    /// The plain columns of these rows, by id.
    ExportIntegrations {
        ids: &'a [Uuid],
    },
    RewrapLoad,
    ScheduleState,
    CreateServiceKey(NewServiceKey<'a>),
    ListServiceKeys {
        organization: Option<Uuid>,
    },
    RevokeServiceKey {
        id: Uuid,
    },
    /// Records that rows of these organizations are about to be opened, and the key that they are rewrapped with, if any.
    RecordOpening {
        reason: &'a str,
        kid: Option<Kid>,
        organizations: &'a [Uuid],
    },
    /// Writes the events of the rows that were rewrapped, from this part of the organizations on.
    RecordRotation {
        part: u8,
    },
    /// The data keys of these organizations, the current one of each first.
    DataKeys {
        organizations: &'a [Uuid],
    },
    /// Adds data keys to organizations that have none, and returns the data keys of these organizations.
    AddDataKeys {
        data_keys: &'a [StoredDataKey],
    },
    /// The data keys after this organization and key id that are not wrapped with this key.
    NextDataKeys {
        after: Option<(Uuid, Kid)>,
        wrapping: Option<Kid>,
        limit: u16,
    },
    RewrapDataKeys {
        rewrapped: &'a [Rewrapped],
    },
    ReplaceDataKeys {
        replacements: &'a [Replacement],
    },
    DeleteReplacedDataKeys,
    /// What the data keys of an organization have sealed. For the owner of the database only.
    SealedWithDataKeys {
        organization: Uuid,
    },
    /// For the owner of the database only.
    DeleteDataKeys {
        organization: Uuid,
    },
}

/// How many replaced data keys are deleted in one call.
pub const DELETED_AT_ONCE: i32 = 1000;

/// A service key that is about to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewServiceKey<'a> {
    /// `None`: of all organizations.
    pub organization: Option<Uuid>,
    pub name: &'a str,
    pub prefix: &'a str,
    pub hash: &'a str,
    pub scopes: &'a [String],
    /// For how many days it is valid; `None`: it does not expire.
    pub days: Option<u16>,
}

/// Key ids as the database has them.
pub fn texts(kids: &[Kid]) -> Vec<String> {
    kids.iter().map(Kid::to_string).collect()
}

impl Function<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Self::DeclareFence { .. } => "declare_fence",
            Self::LiftFence => "lift_fence",
            Self::RecordKeys { .. } => "record_keys",
            Self::UnretireKey { .. } => "unretire_key",
            Self::RetireKey { .. } => "retire_key",
            Self::KeyRegistryState => "key_registry_state",
            Self::ReadSealedElsewhere { .. } => "read_sealed_elsewhere",
            Self::CreateServiceKey(_) => "create_service_key",
            Self::ListServiceKeys { .. } => "list_service_keys",
            Self::RevokeServiceKey { .. } => "revoke_service_key",
            Self::ScheduleState => "schedule_state",
            Self::ExportIntegrations { .. } => "export_integrations",
            Self::RewrapLoad => "rewrap_load",
            Self::RecordOpening { .. } => "record_opening",
            Self::RecordRotation { .. } => "record_rotation",
            Self::DataKeys { .. } => "data_keys",
            Self::AddDataKeys { .. } => "add_data_keys",
            Self::NextDataKeys { .. } => "next_data_keys",
            Self::RewrapDataKeys { .. } => "rewrap_data_keys",
            Self::ReplaceDataKeys { .. } => "replace_data_keys",
            Self::DeleteReplacedDataKeys => "delete_replaced_data_keys",
            Self::SealedWithDataKeys { .. } => "sealed_with_data_keys",
            Self::DeleteDataKeys { .. } => "delete_data_keys",
        }
    }
}
