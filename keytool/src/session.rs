use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use sealed::Kid;
use serde_json::Value;

use crate::database::{Address, Failure, Function, Page, Row, Rows};
use crate::error::Result;
use crate::progress::Progress;
use crate::registry::Registry;
use crate::rotation::pace::{Pace, patiently};
use crate::rotation::pass::pass;
use crate::rotation::scope::Scope;

#[derive(Args, Debug)]
#[command(next_help_heading = "Database")]
pub struct SessionArgs {
    /// Trust the certificates in this file (PEM) instead of the public authorities
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Connections that work at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,

    /// Rows in a page, which is read at once and written at once
    #[arg(long, value_name = "ROWS", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=5000))]
    batch: u16,
}

/// A command's connections and what it says meanwhile.
pub struct Session {
    pub progress: Progress,
    connections: Vec<Rc<dyn Rows>>,
    batch: u16,
}

/// What a scan needs to know of the rotation that it is a pass of.
#[derive(Clone, Copy)]
pub struct Rotation<'a> {
    /// The key that rows are moved to.
    pub kid: Kid,
    pub pace: &'a Pace,
}

impl Session {
    /// Connects, and looks whether the database is one that has been migrated and lets us in. What is wrong now is wrong
    /// for good: no attempt is repeated.
    pub async fn open(args: &SessionArgs, json: bool) -> Result<(Self, Registry)> {
        let address = Address::from_settings(args.ca_file.as_deref())?;
        let connections = (0..args.jobs).map(|_| address.connection()).collect();
        let session = Self {
            progress: Progress::new(json),
            connections,
            batch: args.batch,
        };
        let state = session.connections[0]
            .call(Function::KeyRegistryState)
            .await?;
        Ok((session, Registry::read(&state)?))
    }

    /// The first connection, for what is not shared.
    pub fn connection(&self) -> &dyn Rows {
        &*self.connections[0]
    }

    pub async fn call(&self, function: Function<'_>) -> Result<Value, Failure> {
        patiently(async || self.connection().call(function).await).await
    }

    pub async fn registry(&self) -> Result<Registry> {
        Registry::read(&self.call(Function::KeyRegistryState).await?)
    }

    /// Lets `each` see every row of the scope, page by page; in a rotation, of those that are on its key only that they are there. Where
    /// it opens them, the trail says what for before the first one is read.
    pub async fn scan(
        &self,
        phase: &'static str,
        opens_to: Option<&'static str>,
        scope: &Scope,
        rotation: Option<Rotation<'_>>,
        each: impl AsyncFn(&dyn Rows, Vec<Row>) -> Result<()>,
    ) -> Result<()> {
        let estimate = if scope.is_everything() {
            self.estimate().await
        } else {
            None
        };
        self.progress.phase(phase, estimate);
        let first = Page {
            limit: rotation.map_or(self.batch, |rotation| rotation.pace.limit(self.batch)),
            current: rotation.map(|rotation| rotation.kid),
            ..scope.start()
        };
        if let Some(reason) = opens_to {
            let page = &first;
            self.call(Function::RecordOpening { page, reason }).await?;
        }
        let watch = async {
            match rotation {
                Some(rotation) => rotation.pace.watch(self.connection()).await,
                None => std::future::pending().await,
            }
        };
        let meanwhile = async {
            futures_util::future::join(self.progress.show(), watch).await;
        };
        pass(&self.connections, first, &self.progress, each, meanwhile).await
    }

    /// How many rows there are, as the planner sees it: for the progress bar.
    async fn estimate(&self) -> Option<u64> {
        let vitals = self.connection().call(Function::RewrapVitals).await.ok()?;
        vitals["estimated_rows"].as_u64()
    }
}
