//! Revocations. The database first gives a grant up, in a transaction that wins or loses against one that stores it. Only then is the provider
//! asked. The schedule repeats what failed.

use crate::context::Task;
use crate::credentials::{self, Row, credential};
use crate::db::{
    AbandonConnection, Abandoned, ClaimRevocations, ClaimingRevocations, Connector, Revocation,
    SettleRevocation,
};
use crate::error::Result;
use crate::host::random_uuid;
use crate::host::{self, log};
use crate::http::LANES;
use crate::ids::{IntegrationId, PendingId};
use crate::jobs::progress::Progress;
use crate::oauth::revoke::{self, Revoked};
use crate::oauth::{Client, send};
use crate::oauth_apps::client;
use crate::offer::Offer;
use crate::settings::Settings;
use catalogue::Provider;
use futures_util::{StreamExt, stream};
use sealed::Secret;
use uuid::Uuid;

/// The number of rows in a claim: few enough to finish within the lease.
const BATCH: u32 = 20;
/// How long a run claims, in milliseconds. The next run continues.
const CLAIM_FOR_MS: f64 = 20_000.0;
/// The pauses before each attempt to revoke a grant that is stored nowhere, in milliseconds.
const PAUSES_MS: [u32; 3] = [0, 1_000, 3_000];

/// Why a pending connection is given up.
#[derive(Clone, Copy)]
pub enum Reason {
    /// It could not be stored.
    Abandoned,
    /// The user canceled it.
    Discarded,
}

/// The result of giving up a grant.
pub enum Ended {
    /// The outcome of the revocation; `No` also if another integration uses the grant.
    Revoked(Revoked),
    /// It was not pending: it was stored, or already given up.
    NotPending,
}

pub async fn run(task: &Task) -> Result<Progress> {
    let owner = random_uuid()?;
    let types: Vec<_> = task.settings.offers.iter().map(kind_of).collect();
    let wide = wide_types(task.settings);
    let begun = host::now_ms();
    loop {
        if host::now_ms() - begun > CLAIM_FOR_MS {
            return Ok(Progress::More);
        }
        let call = ClaimRevocations {
            p_owner: owner,
            p_limit: BATCH,
            p_types: &types,
            p_wide_types: &wide,
            p_request_id: &task.request_id,
        };
        let ClaimingRevocations::Claimed { claims } = task.call(&call).await?;
        if claims.is_empty() {
            return Ok(Progress::Nothing);
        }
        // If this fails, each revocation tries it, and fails alone.
        let _ = task
            .load_data_keys(claims.iter().map(|claim| claim.organization_id))
            .await;
        stream::iter(&claims)
            .for_each_concurrent(LANES, async |claim| {
                revoke(task, owner, claim).await;
            })
            .await;
    }
}

/// The types whose revocation ends everything that the user authorized.
pub fn wide_types(settings: &Settings) -> Vec<&str> {
    let wide = settings
        .providers()
        .filter(|provider| provider.revokes_widely());
    wide.map(|provider| provider.kind.as_str()).collect()
}

fn kind_of(offer: &Offer) -> &str {
    &offer.provider().kind
}

/// Gives up a grant that could not be stored. If the database cannot be reached, nothing else is done: the grant is revoked when it expires, unless
/// it was stored after all.
pub async fn abandon(
    task: &Task,
    provider: &Provider,
    connector: Connector,
    pending: PendingId,
    account: Option<&str>,
) {
    let reason = Reason::Abandoned;
    let given_up = give_up(task, provider, connector, pending, reason, account).await;
    if let Err(error) = given_up {
        let detail = error.detail().unwrap_or_default();
        let detail = format!("a grant is still pending and expires in five minutes: {detail}");
        log::warning(&task.request_id, &detail);
    }
}

/// Gives up a pending connection and revokes its grant.
pub async fn give_up(
    task: &Task,
    provider: &Provider,
    connector: Connector,
    pending: PendingId,
    reason: Reason,
    account: Option<&str>,
) -> Result<Ended> {
    let owner = random_uuid()?;
    let call = AbandonConnection {
        p_id: pending,
        connector: connector.into(),
        p_owner: owner,
        p_reason: match reason {
            Reason::Abandoned => "abandoned",
            Reason::Discarded => "discarded",
        },
        p_external_account_id: account,
        p_wide: provider.revokes_widely(),
        p_request_id: &task.request_id,
    };
    Ok(match task.call(&call).await? {
        Abandoned::Abandoned { revocation } => {
            Ended::Revoked(revoke(task, owner, &revocation).await)
        }
        Abandoned::Kept => Ended::Revoked(Revoked::No),
        Abandoned::Unknown => Ended::NotPending,
    })
}

/// Revokes a leased grant and settles the lease.
pub async fn revoke(task: &Task, owner: Uuid, revocation: &Revocation) -> Revoked {
    let (revoked, result) = match attempt(task, revocation).await {
        Ok(Revoked::Yes) => (Revoked::Yes, "revoked"),
        Ok(Revoked::Unsupported) => (Revoked::Unsupported, "unsupported"),
        Ok(other) => (other, "failed"),
        Err(Failed { detail, result }) => {
            log::warning(&task.request_id, &format!("not revoked: {detail}"));
            (Revoked::No, result)
        }
    };
    let call = SettleRevocation {
        p_id: revocation.id,
        p_owner: owner,
        p_result: result,
        p_request_id: &task.request_id,
    };
    if let Err(error) = task.call(&call).await {
        // The lease expires, and the schedule repeats the revocation.
        let detail = error.detail().unwrap_or_default();
        log::warning(&task.request_id, &format!("a revocation: {detail}"));
    }
    revoked
}

/// A revocation without a request to the provider.
struct Failed {
    detail: String,
    /// The schedule repeats `failed`, but not `unreadable`.
    result: &'static str,
}

async fn attempt(task: &Task, revocation: &Revocation) -> Result<Revoked, Failed> {
    let failed = |result, detail: String| Failed { detail, result };
    let kind = &revocation.integration_type;
    let provider = task.settings.provider(kind);
    let provider = provider.ok_or_else(|| failed("failed", format!("{kind} is not configured")))?;
    if provider.revocation.is_none() {
        return Ok(Revoked::Unsupported);
    }
    let app = revocation.oauth_app.as_ref();
    let offer = client::offer(task, kind, revocation.organization_id, app).await;
    let offer = offer.map_err(|error| {
        let message = error.message();
        failed("failed", format!("{kind}: {message}"))
    })?;
    let id = revocation.sealed_for;
    // Sealed values are bound to the id alone, so a pending connection's are named as an integration's in the log.
    let row = Row::Integration(IntegrationId(id));
    let config = credentials::parse_to_read(&revocation.config).ok_or_else(|| {
        let detail = format!("integrations {id}: no readable config");
        failed("unreadable", detail)
    })?;
    let opened = task.open(revocation.organization_id, row, &config).await;
    let opened =
        opened.map_err(|error| failed("failed", error.detail().unwrap_or_default().to_owned()))?;
    let config = opened.map_err(|unopened| {
        let result = match unopened.may_open_later {
            true => "failed",
            false => "unreadable",
        };
        failed(result, unopened.detail)
    })?;
    let Some(client) = offer.client(&config) else {
        return Ok(Revoked::No);
    };
    let access = credential(&config, "access_token");
    let refresh = credential(&config, "refresh_token");
    if access.is_none() && refresh.is_none() {
        return Err(failed("unreadable", format!("integrations {id}: no token")));
    }
    Ok(ask(task, &client, access.as_ref(), refresh.as_ref()).await)
}

/// Revokes tokens that are stored nowhere.
pub async fn directly(task: &Task, client: &Client, access: &Secret, refresh: Option<&Secret>) {
    for pause in PAUSES_MS {
        if pause > 0 {
            host::sleep(pause).await;
        }
        if ask(task, client, Some(access), refresh).await != Revoked::No {
            return;
        }
    }
}

async fn ask(
    task: &Task,
    client: &Client,
    access: Option<&Secret>,
    refresh: Option<&Secret>,
) -> Revoked {
    let request = |client: &Client| revoke::request(client, access, refresh);
    let revoked = match send(client, None, request).await {
        Ok(answer) => revoke::read(&client.provider, &answer.map(|answer| answer.read())),
        Err(revoked) => revoked,
    };
    if revoked == Revoked::No {
        let detail = "a grant could not be revoked at the provider and may still exist there";
        log::warning(&task.request_id, detail);
    }
    revoked
}
