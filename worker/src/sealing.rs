//! Seals and opens a task's configs, with the data keys of their organizations.

use crate::context::Task;
use crate::credentials::{Row, Unopened};
use crate::db::call::Call;
use crate::error::{DatabaseFault, Error, Result};
use crate::host;
use crate::ids::OrganizationId;
use kms::WrappingKeys;
use platform::data_keys::{Host, SealFailure};
use platform::http::{HttpRequest, HttpResponse, SendError};
use sealed::{Fault, PlainConfig, RandomError, SealError, StoredConfig};
use uuid::Uuid;

impl Host for Task {
    type Error = Error;

    fn wrapping(&self) -> &WrappingKeys {
        &self.settings.wrapping
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds of this epoch"
    )]
    fn now(&self) -> u64 {
        host::now_ms() as u64
    }

    async fn fetch(&self, request: HttpRequest) -> Result<HttpResponse, SendError> {
        host::fetch(&request).await
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        host::random(bytes)
    }

    async fn call<C: Call>(&self, call: &C) -> Result<C::Outcome> {
        Task::call(self, call).await
    }
}

impl Task {
    pub async fn seal(
        &self,
        organization: OrganizationId,
        row: Row,
        config: &PlainConfig,
    ) -> Result<StoredConfig> {
        let context = row.context(organization);
        let sealed = self.data_keys.seal(self, &context, config);
        sealed.await.map_err(|failure| not_sealed(row, failure))
    }

    /// The outer error is the database's: it says nothing about the row.
    pub async fn open(
        &self,
        organization: OrganizationId,
        row: Row,
        config: &StoredConfig,
    ) -> Result<Result<PlainConfig, Unopened>> {
        let context = row.context(organization);
        let opened = self.data_keys.open(self, &context, config);
        Ok(opened
            .await?
            .map_err(|unopened| Unopened::of(row, unopened)))
    }

    /// Seals with the current data key. None: the config is sealed with it already.
    pub async fn reseal(
        &self,
        organization: OrganizationId,
        row: Row,
        config: &StoredConfig,
    ) -> Result<Result<Option<StoredConfig>, Unopened>> {
        let context = row.context(organization);
        let resealed = self.data_keys.reseal(self, &context, config);
        let resealed = resealed.await.map_err(|failure| not_sealed(row, failure))?;
        Ok(resealed.map_err(|unopened| Unopened::of(row, unopened)))
    }

    /// Reads the data keys of the organizations whose configs are to be opened, in one call.
    pub async fn load_data_keys(
        &self,
        organizations: impl Iterator<Item = OrganizationId>,
    ) -> Result<()> {
        let organizations: Vec<Uuid> = organizations.map(|id| id.0).collect();
        self.data_keys.load(self, &organizations).await
    }

    /// Ensures that configs of these organizations can be sealed. What cannot be repeated comes after this, such as redeeming a token.
    pub async fn prepare_sealing(
        &self,
        organizations: impl Iterator<Item = OrganizationId>,
    ) -> Result<()> {
        let organizations: Vec<Uuid> = organizations.map(|id| id.0).collect();
        let prepared = self.data_keys.prepare(self, &organizations).await;
        prepared.map_err(not_prepared)
    }

    /// Seals and writes. If the data key was deleted in between, it does both once more, with another key.
    pub async fn write_sealed<T>(
        &self,
        organization: OrganizationId,
        write: impl AsyncFn() -> Result<T>,
    ) -> Result<T> {
        match write().await {
            Err(error) if error.is_deleted_data_key() => {
                self.data_keys.forget(organization.0);
                write().await
            }
            other => other,
        }
    }
}

impl Error {
    /// The data key that sealed what was to be written has been deleted.
    pub fn is_deleted_data_key(&self) -> bool {
        matches!(
            self,
            Self::Database {
                fault: DatabaseFault::DataKeyDeleted,
                ..
            }
        )
    }
}

fn not_sealed(row: Row, failure: SealFailure<Error>) -> Error {
    match failure {
        // The provider sent something too large. Nothing else in our configs can be rejected.
        SealFailure::Refused(SealError::Refused(refused)) if refused.class() == Fault::TooLarge => {
            Error::provider("the grant is too large to store")
        }
        SealFailure::Refused(other) => Error::Internal {
            detail: format!("{row}: {other}"),
        },
        other => not_prepared(other),
    }
}

fn not_prepared(failure: SealFailure<Error>) -> Error {
    match failure {
        SealFailure::Host(error) => error,
        SealFailure::Refused(error) => Error::Internal {
            detail: error.to_string(),
        },
        SealFailure::Key(detail) => Error::Internal { detail },
    }
}
