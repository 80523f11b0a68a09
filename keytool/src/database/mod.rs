//! The way to the rows: one trait, and the same functions of the database behind both implementations. `migrations/`
//! defines them: rewrap_read, rewrap_fetch, rewrap_look, rewrap_count, rewrap_write, rewrap_vitals, and those of the fence.

mod address;
mod direct;
mod failure;
mod rest;
mod tls;

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use sealed::Kid;
use serde_json::Value;
use uuid::Uuid;

pub use failure::{Cause, Failure};

use crate::error::{Blame, Error, Result};
use crate::settings::{self, DATABASE_URL, SERVICE_KEY, SUPABASE_URL};

/// What a database call gives, once it is there. Everything runs on one thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

/// One connection. Calls may overlap: a direct connection sends each once the one before is answered.
pub trait Rows {
    /// The next rows in the order of their ids. None at all: the end is reached. See `rewrap_read` and `rewrap_fetch`.
    fn page<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<Row>>;

    /// Counts the next rows, many more than a page has, and those of them that are not on the page's key. See `rewrap_look`.
    fn look<'a>(&'a self, page: &'a Page) -> Answer<'a, Look>;

    /// Counts the rows of a page that ends at a known id, not too far away. See `rewrap_count`.
    fn count<'a>(&'a self, page: &'a Page) -> Answer<'a, Look>;

    /// Writes each patch if its row is still of the version that was read, and says how many it wrote. See `rewrap_write`.
    fn apply<'a>(&'a self, patches: &'a [Patch], durable: bool) -> Answer<'a, u64>;

    /// Calls a function that answers with one JSON value.
    fn call<'a>(&'a self, function: Function<'a>) -> Answer<'a, Value>;
}

/// Which rows to look at next.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Those behind this id; the first ones without.
    pub after: Option<Uuid>,
    /// Up to this id, inclusive.
    pub until: Option<Uuid>,
    /// How many to look at.
    pub limit: u16,
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
    pub looked: u32,
}

/// How many rows one look counts: some fifty milliseconds of the server's.
const LOOK: i32 = 50_000;

/// What a look has counted.
#[derive(Debug)]
pub struct Look {
    pub looked: u64,
    /// Those that are not on the key that was asked for.
    pub unfinished: u64,
    /// The last row that was looked at; `None` where the end was reached.
    pub last: Option<Uuid>,
}

/// What is to be merged into a row's config.
#[derive(Debug)]
pub struct Patch {
    pub id: Uuid,
    pub version: String,
    /// A JSON object: the fields that hold secrets, whole, and `_enc`.
    pub json: String,
}

/// The functions that answer with one JSON value.
#[derive(Clone, Copy, Debug)]
pub enum Function<'a> {
    DeclareFence { kids: &'a [String] },
    LiftFence,
    RetireKey { kid: &'a str, fence: Uuid },
    KeyRegistryState,
    RewrapVitals,
}

impl Function<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::DeclareFence { .. } => "declare_fence",
            Self::LiftFence => "lift_fence",
            Self::RetireKey { .. } => "retire_key",
            Self::KeyRegistryState => "key_registry_state",
            Self::RewrapVitals => "rewrap_vitals",
        }
    }
}

/// How to get at the database, from the settings.
#[derive(Clone)]
pub enum Address {
    Direct(Rc<address::DirectAddress>),
    Rest(Arc<rest::RestAddress>),
}

impl Address {
    /// `DATABASE_URL` if it is set, because it is the faster way; otherwise `SUPABASE_URL` and the service key.
    pub fn from_settings(ca_file: Option<&std::path::Path>) -> Result<Self> {
        let authorities = ca_file.map(tls::read_authorities).transpose()?;
        if let Some(url) = settings::secret(DATABASE_URL)? {
            let address = address::DirectAddress::parse(&url, authorities)?;
            return Ok(Self::Direct(Rc::new(address)));
        }
        let Some(url) = settings::secret(SUPABASE_URL)? else {
            return Err(Error::new(
                Blame::Caller,
                format!("{DATABASE_URL} environment variable is not set"),
            )
            .hint(format!("set it, or {SUPABASE_URL} and {SERVICE_KEY}")));
        };
        let Some(key) = settings::secret(SERVICE_KEY)? else {
            return Err(Error::new(
                Blame::Caller,
                format!("{SERVICE_KEY} environment variable is not set"),
            )
            .hint(format!(
                "set it beside {SUPABASE_URL}, or set {DATABASE_URL} instead"
            )));
        };
        let address = rest::RestAddress::parse(&url, &key, authorities)?;
        Ok(Self::Rest(Arc::new(address)))
    }

    /// A connection, which is made when it is first used.
    pub fn connection(&self) -> Rc<dyn Rows> {
        match self {
            Self::Direct(address) => Rc::new(direct::Direct::new(Rc::clone(address))),
            Self::Rest(address) => Rc::new(rest::Rest::new(Arc::clone(address))),
        }
    }
}
