use std::collections::HashMap;
use std::pin::Pin;

use sealed::Kid;
use serde_json::Value;
use uuid::Uuid;

use super::failure::Failure;

/// What a database call gives, once it is there. Everything runs on one thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

/// One connection. Calls may overlap: a direct connection sends each once the one before is answered.
pub trait Rows {
    /// The next rows in the order of their ids. None at all: the end is reached. See `rewrap_read`.
    fn read<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<Row>>;

    /// Writes each patch if its row is still of the version that was read. See `rewrap_write`.
    fn write<'a>(&'a self, patches: &'a [Patch]) -> Answer<'a, Written>;

    /// Calls a function that answers with one JSON value.
    fn call<'a>(&'a self, function: Function<'a>) -> Answer<'a, Value>;
}

/// Which rows to read next.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Those behind this id; the first ones without.
    pub after: Option<Uuid>,
    /// Up to this id, inclusive.
    pub until: Option<Uuid>,
    /// How many may come.
    pub limit: u16,
    /// How many to look at; `limit` without.
    pub scan_limit: Option<u16>,
    /// The key whose rows need not travel.
    pub current: Option<Kid>,
    pub organization: Option<Uuid>,
}

/// A row that was looked at.
#[derive(Debug)]
pub struct Row {
    pub id: Uuid,
    pub organization_id: Uuid,
    /// The config as JSON text; `None` where the row names the key that was asked for.
    pub config: Option<String>,
    /// Which version of the row this is, in the database's words.
    pub version: String,
    /// How many rows of the page were looked at up to this one.
    pub scanned: u32,
}

/// How many rows were written of each organization.
pub type Written = HashMap<Uuid, u64>;

/// What is to be merged into a row's config.
#[derive(Debug)]
pub struct Patch {
    pub id: Uuid,
    pub organization_id: Uuid,
    /// The key that the row was sealed with; `None` in the legacy form.
    pub from: Option<Kid>,
    pub version: String,
    /// A JSON object: the fields that hold secrets, whole, and `_enc`.
    pub json: String,
}

/// The functions that answer with one JSON value.
#[derive(Clone, Copy, Debug)]
pub enum Function<'a> {
    DeclareFence {
        kids: &'a [String],
    },
    LiftFence,
    RetireKey {
        kid: &'a str,
        fence: Uuid,
    },
    KeyRegistryState,
    RewrapLoad,
    /// Rows of these organizations are about to be opened, to move them to the key if there is one.
    RecordOpening {
        reason: &'a str,
        kid: Option<Kid>,
        organizations: &'a [Uuid],
    },
    /// What was moved to the key.
    RecordRotation {
        kid: Kid,
        organizations: &'a Value,
    },
}

impl Function<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Self::DeclareFence { .. } => "declare_fence",
            Self::LiftFence => "lift_fence",
            Self::RetireKey { .. } => "retire_key",
            Self::KeyRegistryState => "key_registry_state",
            Self::RewrapLoad => "rewrap_load",
            Self::RecordOpening { .. } => "record_opening",
            Self::RecordRotation { .. } => "record_rotation",
        }
    }
}
