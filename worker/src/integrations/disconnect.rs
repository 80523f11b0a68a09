//! Disconnecting: deletes an integration and revokes its grant.

use crate::auth::service_key::Scope;
use crate::context::Context;
use crate::db::{DisconnectIntegration, Disconnected};
use crate::error::{ClientError, Result};
use crate::health::check;
use crate::host::random_uuid;
use crate::http::Response;
use crate::ids::IntegrationId;
use crate::jobs::revocations;
use crate::oauth::revoke::Revoked;
use serde_json::json;

/// How many integrations that share the deleted grant are checked at the same time.
const SHARED_CHECKS: usize = 10;

/// `DELETE /api/integrations/:id`: deletes the row first, whatever it holds, and queues its credential for revocation in the same transaction.
/// So the provider is asked only about a grant that no row has any more. If the request fails, the schedule repeats it.
pub async fn disconnect(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let caller = context.principal(Scope::ConnectionsWrite).await?.caller;
    let owner = random_uuid()?;
    let call = DisconnectIntegration {
        p_id: id,
        caller,
        p_owner: owner,
        p_wide_types: &revocations::wide_types(context.settings),
        p_request_id: &context.request_id,
    };
    let deleted = match context.call(&call).await? {
        Disconnected::Disconnected(deleted) => deleted,
        Disconnected::Unknown => return Err(ClientError::UnknownIntegration.into()),
    };
    let mut revoked = revocations::revoke(context, owner, &deleted.revocation).await;
    let provider = context
        .settings
        .provider(&deleted.revocation.integration_type);
    let ends_all = provider.is_some_and(|provider| provider.revokes_widely());
    if revoked == Revoked::Yes && deleted.earlier_grant && !ends_all {
        revoked = Revoked::Unknown;
    }
    let message = "Integration deleted successfully";
    let mut answer = json!({"success": true, "message": message, "revoked": revoked});
    if revoked == Revoked::Yes && !deleted.shared.is_empty() {
        for shared in deleted.shared.iter().take(SHARED_CHECKS) {
            check::by_itself(context, shared.id).await;
        }
        let visible = deleted.shared.iter().filter(|shared| shared.visible);
        answer["ended"] = visible.map(|shared| json!(shared.id)).collect();
    }
    Ok(Response::json(200, &answer))
}
