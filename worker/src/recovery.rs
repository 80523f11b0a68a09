//! What becomes of an answer of a token endpoint whose job has ended with an exception or a trap: it may hold the only copy of somebody's
//! tokens, so another job goes on with it. What such a job needs to know is the note under which JavaScript holds the answer; credentials in
//! it are sealed.

use crate::connect::callback;
use crate::context::{Task, request_id};
use crate::db::Claim;
use crate::error::{Error, Result};
use crate::host::{UpstreamResponse, log};
use crate::http::SendError;
use crate::ids::{OrganizationId, UserId};
use crate::json;
use crate::refresh::refresh_grant::{self, Redeemer};
use crate::settings::Settings;
use platform::settings::SettingError;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    Refresh {
        owner: Uuid,
        user: Option<UserId>,
        claim: Claim,
    },
    Exchange(Exchange),
}

/// The exchange of a code.
#[derive(Deserialize)]
pub struct Exchange {
    /// Another one each time.
    pub id: Uuid,
    /// With which provider.
    pub integration_type: String,
    /// Who connects.
    pub user: UserId,
    /// For which organization.
    pub organization: OrganizationId,
    /// Where the browser goes in the end.
    pub return_to: String,
}

/// The note of a redemption.
pub fn refresh_note(redeemer: Redeemer, claim: &Claim) -> String {
    let Redeemer { owner, user } = redeemer;
    json!({"request": "refresh", "owner": owner, "user": user, "claim": claim}).to_string()
}

/// The note of an exchange.
pub fn exchange_note(exchange: &Exchange) -> String {
    json!({
        "request": "exchange",
        "id": exchange.id,
        "integration_type": exchange.integration_type,
        "user": exchange.user,
        "organization": exchange.organization,
        "return_to": exchange.return_to,
    })
    .to_string()
}

/// Goes on with an answer: fresh tokens are stored, and a new grant is given up and revoked.
pub async fn recover(
    settings: &'static Result<Settings, SettingError>,
    note: &str,
    answer: Result<UpstreamResponse, SendError>,
) {
    let request_id = request_id();
    let Ok(settings) = settings else { return };
    let task = Task {
        settings,
        request_id,
    };
    let resumed = match json::read_tagged("request", note).ok() {
        Some(Note::Refresh { owner, user, claim }) => {
            refresh_grant::resume(&task, Redeemer { owner, user }, &claim, answer).await
        }
        Some(Note::Exchange(exchange)) => callback::give_up(&task, &exchange, answer).await,
        None => Err(Error::Internal {
            detail: "a note that cannot be read".to_owned(),
        }),
    };
    let detail = match resumed {
        Ok(()) => "a job ended with an exception; the answer that it waited for is dealt with",
        Err(ref error) => error.detail().unwrap_or_default(),
    };
    log::warning(&task.request_id, &format!("recovery: {detail}"));
}
