use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::address::DirectAddress;
use super::direct::Direct;
use super::rest::{Rest, RestAddress};
use super::rows::Rows;
use super::tls;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::{self, DATABASE_URL, SERVICE_KEY, SUPABASE_URL};

/// How to reach the database, from the settings.
#[derive(Clone)]
pub enum Connector {
    Direct(Rc<DirectAddress>),
    Rest(Arc<RestAddress>),
}

pub struct Target {
    /// Host and database, without any password.
    pub database: String,
    pub way: &'static str,
    /// A setting that names a database too.
    pub not_used: Option<&'static str>,
}

impl Target {
    pub fn to_line(&self) -> String {
        format!("{} ({})", self.database, self.way)
    }
}

impl Connector {
    /// Uses `DATABASE_URL` if it is set, because it is faster; otherwise `SUPABASE_URL` and the service key.
    pub fn from_settings(ca_file: Option<&Path>) -> Result<Self> {
        let authorities = ca_file
            .map(|file| tls::read_authorities(file, "the certificate file of --ca-file"))
            .transpose()?;
        if let Some(url) = settings::secret(DATABASE_URL)? {
            let address = DirectAddress::parse(&url, authorities)?;
            return Ok(Self::Direct(Rc::new(address)));
        }
        let Some(url) = settings::secret(SUPABASE_URL)? else {
            return Err(Error::new(
                ErrorKind::Caller,
                format!("{DATABASE_URL} environment variable is not set"),
            )
            .hint(format!("set it, or {SUPABASE_URL} and {SERVICE_KEY}")));
        };
        let Some(key) = settings::secret(SERVICE_KEY)? else {
            return Err(Error::new(
                ErrorKind::Caller,
                format!("{SERVICE_KEY} environment variable is not set"),
            )
            .hint(format!(
                "set it beside {SUPABASE_URL}, or set {DATABASE_URL} instead"
            )));
        };
        let address = RestAddress::parse(&url, &key, authorities)?;
        Ok(Self::Rest(Arc::new(address)))
    }

    pub fn target(&self) -> Target {
        match self {
            Self::Direct(address) => Target {
                database: address.name.clone(),
                way: "directly",
                not_used: std::env::var_os(SUPABASE_URL)
                    .is_some_and(|url| !url.is_empty())
                    .then_some(SUPABASE_URL),
            },
            Self::Rest(address) => Target {
                database: address.name().to_owned(),
                way: "through PostgREST",
                not_used: None,
            },
        }
    }

    /// Makes a connection, which is opened on first use.
    pub fn connection(&self) -> Rc<dyn Rows> {
        match self {
            Self::Direct(address) => Rc::new(Direct::new(Rc::clone(address))),
            Self::Rest(address) => Rc::new(Rest::new(Arc::clone(address))),
        }
    }
}
