//! What another job needs to know to go on with an answer: the note under which JavaScript holds it. Credentials in it are sealed.

use crate::auth::caller::Caller;
use crate::db::{Claim, Connector, OauthApp};
use crate::ids::OrganizationId;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    Refresh {
        owner: Uuid,
        caller: Caller,
        claim: Claim,
    },
    Exchange(Exchange),
}

/// The exchange of a code.
#[derive(Deserialize)]
pub struct Exchange {
    /// Another one each time.
    pub id: Uuid,
    pub integration_type: String,
    pub connector: Connector,
    pub organization: OrganizationId,
    /// Where the browser goes in the end.
    pub return_to: String,
    /// The app that the code was issued to. None: the deployment's.
    pub oauth_app: Option<OauthApp>,
}

/// The note of a redemption.
pub fn refresh_note(owner: Uuid, caller: Caller, claim: &Claim) -> String {
    json!({"request": "refresh", "owner": owner, "caller": caller, "claim": claim}).to_string()
}

/// The note of an exchange.
pub fn exchange_note(exchange: &Exchange) -> String {
    json!({
        "request": "exchange",
        "id": exchange.id,
        "integration_type": exchange.integration_type,
        "connector": exchange.connector,
        "organization": exchange.organization,
        "return_to": exchange.return_to,
        "oauth_app": exchange.oauth_app,
    })
    .to_string()
}
