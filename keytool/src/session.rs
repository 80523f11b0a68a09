use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use kms::WrappingKeys;
use serde_json::{Value, json};

use crate::error::Result;
use crate::progress::Progress;
use crate::store::registry::Registry;
use crate::store::retry::retry;
use crate::store::{Connector, Failure, Function, Rows};

#[derive(Args, Debug)]
#[command(next_help_heading = "Database")]
pub struct SessionArgs {
    /// Trust the certificates in this file (PEM) instead of the public authorities
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Number of connections that work at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,

    /// Number of rows that are read, and written, at once
    #[arg(long, value_name = "ROWS", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=5000))]
    batch: u16,
}

impl SessionArgs {
    pub fn connector(&self) -> Result<Connector> {
        Connector::from_settings(self.ca_file.as_deref())
    }
}

pub struct Session {
    pub progress: Rc<Progress>,
    pub connections: Vec<Rc<dyn Rows>>,
    pub batch: u16,
    /// For a person.
    pub database: String,
}

impl Session {
    /// Says which database and which keys these are, connects, and checks that the database has been migrated and accepts the
    /// credentials. Errors here are permanent, so nothing is repeated.
    pub async fn open(
        args: &SessionArgs,
        ring: Option<&WrappingKeys>,
        progress: Rc<Progress>,
    ) -> Result<(Self, Registry)> {
        let connector = args.connector()?;
        let session = Self {
            progress,
            connections: (0..args.jobs).map(|_| connector.connection()).collect(),
            batch: args.batch,
            database: connector.target().to_line(),
        };
        session.say_where(&connector, ring)?;
        let state = session
            .connection()
            .call(Function::KeyRegistryState)
            .await?;
        Ok((session, Registry::read(&state)?))
    }

    fn say_where(&self, connector: &Connector, ring: Option<&WrappingKeys>) -> Result<()> {
        let kids: Vec<String> = ring
            .into_iter()
            .flat_map(WrappingKeys::kids)
            .map(|kid| kid.to_string())
            .collect();
        let keys = match &kids[..] {
            [] => "no keys".to_owned(),
            [primary] => format!("primary key {primary}, no fallback key"),
            [primary, fallback] => format!("primary key {primary}, fallback key {fallback}"),
            [primary, fallbacks @ ..] => {
                format!(
                    "primary key {primary}, fallback keys {}",
                    fallbacks.join(", ")
                )
            }
        };
        let target = connector.target();
        let event = json!({
            "event": "connecting",
            "database": self.database,
            "way": target.way,
            "not_used": target.not_used,
            "primary": kids.first(),
            "fallbacks": kids.get(1..).unwrap_or_default(),
        });
        let not_used = match target.not_used {
            Some(setting) => format!("; {setting} is set too, and not used"),
            None => String::new(),
        };
        let line = format!("database: {}; {keys}{not_used}", self.database);
        self.progress.note(&event, &line)
    }

    pub fn connection(&self) -> &dyn Rows {
        &*self.connections[0]
    }

    pub async fn call(&self, function: Function<'_>) -> Result<Value, Failure> {
        retry(async || self.connection().call(function).await).await
    }

    pub async fn registry(&self) -> Result<Registry> {
        Registry::read(&self.call(Function::KeyRegistryState).await?)
    }
}
