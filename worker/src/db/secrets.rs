//! Secrets that the schedule seals again with the primary key, those of webhook endpoints and of OAuth apps.

use crate::db::call::Call;
use crate::ids::OrganizationId;
use sealed::StoredConfig;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Finds secrets that are sealed with one of these keys.
#[derive(Serialize)]
pub struct SecretsOn<'a> {
    pub p_kids: &'a [String],
    /// The most rows to return.
    pub p_limit: u32,
}

/// The outcome of [`SecretsOn`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretsFound {
    Found { secrets: Vec<SealedSecrets> },
}

/// The table of a row that holds secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretsTable {
    WebhookEndpoints,
    OauthApps,
}

/// The secrets of one row, sealed.
#[derive(Deserialize)]
pub struct SealedSecrets {
    pub table: SecretsTable,
    pub id: Uuid,
    pub organization_id: OrganizationId,
    pub config: StoredConfig,
}

impl Call for SecretsOn<'_> {
    const NAME: &'static str = "secrets_on";
    type Outcome = SecretsFound;
}

#[derive(Serialize)]
pub struct ResealSecrets<'a> {
    pub p_resealed: &'a [Resealed],
}

/// The secrets of one row under the primary key.
#[derive(Serialize)]
pub struct Resealed {
    pub table: SecretsTable,
    pub id: Uuid,
    /// The secrets that were read.
    pub read: StoredConfig,
    /// The same, sealed again.
    pub config: StoredConfig,
}

/// The outcome of [`ResealSecrets`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resealing {
    /// Those are written whose secrets had not changed.
    Resealed,
}

impl Call for ResealSecrets<'_> {
    const NAME: &'static str = "reseal_secrets";
    type Outcome = Resealing;
}
