//! Redeems a refresh token and writes the result.
//!
//! A redemption is sent once per claim and never repeated, unless the provider rejects the client's secret, which leaves the token as it was. Its write is repeated, and if the row cannot be written, the database keeps the sealed
//! result for the next claim. One gap remains: a worker that dies between the provider's response and its first write. The next claim then finds the
//! recorded attempt, tries the token that is stored, and the events show what was lost.

use crate::auth::caller::Caller;
use crate::connect::store_connection;
use crate::context::Task;
use crate::credentials::{self, Row, Unopened};
use crate::db::{Claim, End, Fault, RefreshResult, RefusalResult, SettleRefreshes, Settling};
use crate::error::{ClientError, Error, Result};
use crate::host::now;
use crate::host::{self, UpstreamResponse, log};
use crate::http::SendError;
use crate::http::rate_limit::retry_after;
use crate::ids::{IntegrationId, OrganizationId};
use crate::oauth::refresh::{self as oauth, Redemption};
use crate::oauth::{Client, send};
use crate::oauth_apps::client;
use crate::offer::ClientOf;
use crate::recovery::note::refresh_note;
use crate::refresh::policy::WRITE_PAUSES_MS;
use crate::refresh::provider_backoff;
use catalogue::Endpoint;
use sealed::{PlainConfig, StoredConfig};
use std::collections::BTreeMap;
use std::iter;
use uuid::Uuid;

/// A claim's result, not yet written.
pub struct Redeemed {
    pub result: RefreshResult,
    /// The refreshed config.
    config: Option<PlainConfig>,
    /// The note under which the response is held, if a request was sent.
    note: Option<String>,
}

impl Redeemed {
    /// A result without a config.
    pub fn fault(claim: &Claim, fault: Fault) -> Self {
        Self::of(claim, None, Some(fault))
    }

    fn of(claim: &Claim, config: Option<StoredConfig>, fault: Option<Fault>) -> Self {
        let result = RefreshResult {
            id: claim.id,
            generation: claim.generation,
            config,
            fault,
            retry_after: None,
            refusal: None,
            organization_id: claim.organization_id,
            integration_type: claim.integration_type.clone(),
            oauth_app_id: claim.oauth_app.as_ref().map(|app| app.id),
        };
        Self {
            result,
            config: None,
            note: None,
        }
    }
}

/// Who redeems, for the settlement.
#[derive(Clone, Copy)]
pub struct Redeemer {
    pub owner: Uuid,
    pub caller: Caller,
}

/// Refreshes a claimed row: at most one request to the provider.
pub async fn redeem(task: &Task, redeemer: Redeemer, claim: &Claim) -> Redeemed {
    let note = refresh_note(redeemer.owner, redeemer.caller, claim);
    let mut redeemed = match attempt(task, claim, &note).await {
        Ok(redeemed) => redeemed,
        Err(failed) => failed.redeemed(task, claim),
    };
    redeemed.note = Some(note);
    redeemed
}

/// Continues with a redemption's response whose job has ended.
pub async fn resume(
    task: &Task,
    redeemer: Redeemer,
    claim: &Claim,
    answer: Result<UpstreamResponse, SendError>,
) -> Result<()> {
    let concluded = match prepared(task, claim).await {
        Ok((config, client)) => conclude(task, claim, &config, &client, answer).await,
        Err(failed) => Err(failed),
    };
    let redeemed = concluded.unwrap_or_else(|failed| failed.redeemed(task, claim));
    settle(task, redeemer, vec![redeemed]).await.map(|_| ())
}

struct Failed {
    fault: Fault,
    detail: String,
    retry_after: Option<u32>,
    refusal: Option<RefusalResult>,
}

impl Failed {
    fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self {
            fault,
            detail: detail.into(),
            retry_after: None,
            refusal: None,
        }
    }

    fn by(fault: Fault, error: &Error) -> Self {
        Self::new(fault, error.detail().unwrap_or_default())
    }

    fn redeemed(self, task: &Task, claim: &Claim) -> Redeemed {
        let detail = format!("integrations {}: not refreshed: {}", claim.id, self.detail);
        log::warning(&task.request_id, &detail);
        let mut redeemed = Redeemed::fault(claim, self.fault);
        redeemed.result.retry_after = self.retry_after;
        redeemed.result.refusal = self.refusal;
        redeemed
    }
}

async fn attempt(task: &Task, claim: &Claim, note: &str) -> Result<Redeemed, Failed> {
    // What the provider returns could not be kept otherwise.
    let organization = iter::once(claim.organization_id);
    task.prepare_sealing(organization)
        .await
        .map_err(not_asked)?;
    if claim.refreshed {
        let config = opened(task, claim).await?;
        return redeemed(task, claim, config).await;
    }
    let (config, client) = prepared(task, claim).await?;
    let request = |client: &Client| oauth::request(client, &config).ok_or_else(nothing);
    let answer = send(&client, Some(note), request).await?;
    conclude(task, claim, &config, &client, answer).await
}

fn nothing() -> Failed {
    Failed::new(Fault::NotRefreshable, "there is nothing to refresh it with")
}

/// The database failed, so it is tried again later.
fn not_asked(error: Error) -> Failed {
    Failed::by(Fault::Refused, &error)
}

async fn opened(task: &Task, claim: &Claim) -> Result<PlainConfig, Failed> {
    let opened = open(task, claim.id, claim.organization_id, &claim.config).await;
    let opened = opened.map_err(not_asked)?;
    opened.map_err(|unopened| Failed::new(Fault::Unreadable, unopened.detail))
}

async fn prepared(task: &Task, claim: &Claim) -> Result<(PlainConfig, ClientOf<'static>), Failed> {
    let config = opened(task, claim).await?;
    let (kind, app) = (&claim.integration_type, claim.oauth_app.as_ref());
    let offer = client::offer(task, kind, claim.organization_id, app).await;
    let offer = offer.map_err(|error| match error {
        Error::Client(ClientError::AppUnreadable) => Failed::new(
            Fault::AppUnreadable,
            "the secret of its OAuth app does not open",
        ),
        Error::Database { .. } => not_asked(error),
        _ => Failed::new(Fault::Refused, "its provider is not configured"),
    })?;
    let client = offer.into_client(&config).ok_or_else(nothing)?;
    Ok((config, client))
}

/// What a token endpoint's response means for the claim.
async fn conclude(
    task: &Task,
    claim: &Claim,
    config: &PlainConfig,
    client: &Client,
    answer: Result<UpstreamResponse, SendError>,
) -> Result<Redeemed, Failed> {
    let (status, limits) = answer
        .as_ref()
        .map(|answer| (answer.status(), answer.limits()))
        .unwrap_or_default();
    let provider = &client.provider;
    let pause =
        provider_backoff::note(task, claim.id, provider, Endpoint::Token, status, &limits).await;
    let failed = |fault, detail: String| Failed {
        retry_after: retry_after(&limits.retry_after, now()).max(pause),
        ..Failed::new(fault, detail)
    };
    let answer = answer.map(|answer| answer.read());
    let grant = match oauth::read(&client.provider, answer, now()) {
        Redemption::Granted(grant) => grant,
        Redemption::Refused { detail, refusal } => {
            // A rate limit says nothing about the token.
            let refusal = refusal
                .filter(|_| pause.is_none())
                .map(|refusal| RefusalResult {
                    alike: refusal.alike,
                    may_be_ours: refusal.may_be_ours,
                    tries: client.provider.refused_tries,
                });
            return Err(Failed {
                refusal,
                ..failed(Fault::Refused, detail)
            });
        }
        Redemption::OutcomeUnknown(detail) => return Err(failed(Fault::OutcomeUnknown, detail)),
        Redemption::InvalidGrant => {
            return Err(Failed::new(
                Fault::InvalidGrant,
                "token endpoint: invalid_grant",
            ));
        }
        Redemption::InvalidClient => {
            return Err(Failed::new(
                Fault::InvalidClient,
                "token endpoint: the client is refused",
            ));
        }
    };
    redeemed(task, claim, credentials::renewed(config, &grant)).await
}

/// Seals a refreshed config.
async fn redeemed(task: &Task, claim: &Claim, config: PlainConfig) -> Result<Redeemed, Failed> {
    let row = Row::Integration(claim.id);
    let mut sealed = task.seal(claim.organization_id, row, &config).await;
    // Its keys are known, unless another part of the run has found one of them deleted. What was redeemed exists nowhere else.
    for pause in WRITE_PAUSES_MS {
        if !matches!(sealed, Err(Error::Database { .. })) {
            break;
        }
        host::sleep(pause).await;
        sealed = task.seal(claim.organization_id, row, &config).await;
    }
    let sealed = sealed.map_err(|error| Failed::by(Fault::OutcomeUnknown, &error))?;
    Ok(Redeemed {
        config: Some(config),
        ..Redeemed::of(claim, Some(sealed), None)
    })
}

/// Opens the config of a row that was just claimed.
pub async fn open(
    task: &Task,
    id: IntegrationId,
    organization: OrganizationId,
    config: &str,
) -> Result<Result<PlainConfig, Unopened>> {
    let row = Row::Integration(id);
    match credentials::parse(config) {
        Some(config) => task.open(organization, row, &config).await,
        None => Ok(Err(Unopened {
            detail: format!(
                "{row}: config is no JSON object that can be read and written unchanged"
            ),
            may_open_later: false,
        })),
    }
}

/// Writes results, with retries: what was redeemed exists nowhere else. Repeating a write whose response was lost is harmless.
pub async fn settle(
    task: &Task,
    redeemer: Redeemer,
    done: Vec<Redeemed>,
) -> Result<BTreeMap<Uuid, End>> {
    let mut results = Vec::with_capacity(done.len());
    let (mut configs, mut notes) = (BTreeMap::new(), Vec::new());
    for Redeemed {
        result,
        config,
        note,
    } in done
    {
        configs.extend(config.map(|config| (result.id.0, config)));
        notes.extend(note);
        results.push(result);
    }
    let mut ends = persistently(task, redeemer, &results).await?;
    results.retain(|result| ends.get(&result.id.0) == Some(&End::DataKeyDeleted));
    if !results.is_empty() {
        ends.extend(settle_resealed(task, redeemer, results, &configs).await?);
    }
    for note in notes {
        host::settled(&note);
    }
    for (id, end) in &ends {
        if *end == End::Journalled {
            let detail = format!(
                "integrations {id}: refreshed, but this key may not write now; the answer is kept"
            );
            log::warning(&task.request_id, &detail);
        }
    }
    Ok(ends)
}

/// Seals refreshed configs, whose data keys have been deleted since, with other data keys, and writes them.
async fn settle_resealed(
    task: &Task,
    redeemer: Redeemer,
    results: Vec<RefreshResult>,
    configs: &BTreeMap<Uuid, PlainConfig>,
) -> Result<BTreeMap<Uuid, End>> {
    for result in &results {
        task.data_keys.forget(result.organization_id.0);
    }
    let (mut resealed, mut failure) = (Vec::with_capacity(results.len()), None);
    for mut result in results {
        if let Some(config) = configs.get(&result.id.0) {
            let row = Row::Integration(result.id);
            match task.seal(result.organization_id, row, config).await {
                Ok(sealed) => result.config = Some(sealed),
                // The others' results are written all the same.
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            }
        }
        resealed.push(result);
    }
    let ends = persistently(task, redeemer, &resealed).await?;
    failure.map_or(Ok(ends), Err)
}

async fn persistently(
    task: &Task,
    redeemer: Redeemer,
    results: &[RefreshResult],
) -> Result<BTreeMap<Uuid, End>> {
    let call = SettleRefreshes {
        p_owner: redeemer.owner,
        p_results: results,
        caller: redeemer.caller,
        p_request_id: &task.request_id,
    };
    let mut failure = None;
    for pause in WRITE_PAUSES_MS {
        if pause > 0 {
            host::sleep(pause).await;
        }
        match task.call(&call).await {
            Ok(Settling::Ended { ends }) => return Ok(ends),
            Err(error) => failure = Some(error),
        }
    }
    Err(store_connection::not_saved(failure.unwrap_or_else(|| {
        Error::database_answer("settle_refreshes: not tried")
    })))
}
