//! Redeems a refresh token and writes the result.
//!
//! A redemption is sent once per claim and never repeated, unless the provider rejects the client's secret, which leaves the token as it was. Its write is repeated, and if the row cannot be written, the database keeps the sealed
//! result for the next claim. One gap remains: a worker that dies between the provider's response and its first write. The next claim then finds the
//! recorded attempt, tries the token that is stored, and the events show what was lost.

use crate::auth::caller::Caller;
use crate::connect::store_connection;
use crate::context::Task;
use crate::credentials::{self, Row};
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
use uuid::Uuid;

/// A claim's result, not yet written.
pub struct Redeemed {
    pub result: RefreshResult,
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
        Self { result, note: None }
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
    let concluded = match prepared(task, claim) {
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
    if claim.refreshed {
        let sealed = opened(task, claim)
            .and_then(|config| seal(task, claim, &config))
            .map_err(|error| Failed::by(Fault::Unreadable, &error))?;
        return Ok(Redeemed::of(claim, Some(sealed), None));
    }
    let (config, client) = prepared(task, claim)?;
    let request = |client: &Client| oauth::request(client, &config).ok_or_else(nothing);
    let answer = send(&client, Some(note), request).await?;
    conclude(task, claim, &config, &client, answer).await
}

fn nothing() -> Failed {
    Failed::new(Fault::NotRefreshable, "there is nothing to refresh it with")
}

fn opened(task: &Task, claim: &Claim) -> Result<PlainConfig> {
    open(task, claim.id, claim.organization_id, &claim.config)
}

fn prepared(task: &Task, claim: &Claim) -> Result<(PlainConfig, ClientOf<'static>), Failed> {
    let config = opened(task, claim).map_err(|error| Failed::by(Fault::Unreadable, &error))?;
    let (kind, app) = (&claim.integration_type, claim.oauth_app.as_ref());
    let offer = client::offer(task, kind, claim.organization_id, app);
    let offer = offer.map_err(|error| match error {
        Error::Client(ClientError::AppUnreadable) => Failed::new(
            Fault::AppUnreadable,
            "the secret of its OAuth app does not open",
        ),
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
    match seal(task, claim, &credentials::renewed(config, &grant)) {
        Ok(sealed) => Ok(Redeemed::of(claim, Some(sealed), None)),
        Err(error) => Err(Failed::by(Fault::OutcomeUnknown, &error)),
    }
}

/// Opens the config of a row that was just claimed.
pub fn open(
    task: &Task,
    id: IntegrationId,
    organization: OrganizationId,
    config: &str,
) -> Result<PlainConfig> {
    let config = credentials::parse(config).ok_or_else(|| Error::Internal {
        detail: format!(
            "integrations {id}: config is no JSON object that can be read and written unchanged"
        ),
    })?;
    credentials::open(
        &task.settings.ring,
        organization,
        Row::Integration(id),
        &config,
    )
}

fn seal(task: &Task, claim: &Claim, config: &PlainConfig) -> Result<StoredConfig> {
    task.seal(claim.organization_id, Row::Integration(claim.id), config)
}

/// Writes results, with retries: what was redeemed exists nowhere else. Repeating a write whose response was lost is harmless.
pub async fn settle(
    task: &Task,
    redeemer: Redeemer,
    done: Vec<Redeemed>,
) -> Result<BTreeMap<Uuid, End>> {
    let (results, notes): (Vec<_>, Vec<_>) = done
        .into_iter()
        .map(|redeemed| (redeemed.result, redeemed.note))
        .unzip();
    let call = SettleRefreshes {
        p_owner: redeemer.owner,
        p_results: &results,
        caller: redeemer.caller,
        p_request_id: &task.request_id,
    };
    let ends = persistently(task, &call).await?;
    for note in notes.into_iter().flatten() {
        host::settled(&note);
    }
    for result in &results {
        if ends.get(&result.id.0) == Some(&End::Journalled) {
            log::warning(
                &task.request_id,
                &format!(
                    "integrations {}: refreshed, but this key may not write now; the answer is kept",
                    result.id
                ),
            );
        }
    }
    Ok(ends)
}

async fn persistently(task: &Task, call: &SettleRefreshes<'_>) -> Result<BTreeMap<Uuid, End>> {
    let mut failure = None;
    for pause in WRITE_PAUSES_MS {
        if pause > 0 {
            host::sleep(pause).await;
        }
        match task.call(call).await {
            Ok(Settling::Ended { ends }) => return Ok(ends),
            Err(error) => failure = Some(error),
        }
    }
    Err(store_connection::not_saved(failure.unwrap_or_else(|| {
        Error::database_answer("settle_refreshes: not tried")
    })))
}
