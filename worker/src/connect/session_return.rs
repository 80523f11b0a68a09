//! How the browser of a connect session returns to the backend: with a code for a parked grant, or with an error.

use crate::connect::store_connection::persistently;
use crate::context::Context;
use crate::db::{ConnectSessionFailed, FailConnectSession, ParkConnection, Parked, SessionReturn};
use crate::error::{ClientError, Error, Result};
use crate::host::{log, random_bytes};
use crate::http::Response;
use crate::http::url::{with_parameter, with_parameters};
use crate::ids::{ConnectSessionId, PendingId};
use crate::oauth::Account;
use crate::random::RandomToken;

pub fn page(id: ConnectSessionId) -> String {
    with_parameter("/connect", "session", &id.to_string())
}

/// Parks a grant until the backend completes the session. Returns the URL with the code.
pub async fn park(
    context: &Context<'_>,
    session: &SessionReturn,
    pending: PendingId,
    account: &Account,
) -> Result<String> {
    let code = RandomToken::from_bytes(random_bytes()?);
    let call = ParkConnection {
        p_connect_session_id: session.id,
        p_pending_id: pending,
        p_account: account,
        p_code_hash: &code.hash(),
    };
    match persistently(context, &call).await? {
        Parked::Parked => Ok(location(session, "code", code.expose())),
        Parked::Over => Err(ClientError::ConnectSessionOver.into()),
    }
}

/// Ends the session because its user cancels. Returns the URL with the error's code.
pub async fn cancel(context: &Context<'_>, session: &SessionReturn) -> Result<String> {
    let (_, declined, _) = Error::from(ClientError::Declined).answer();
    let call = FailConnectSession {
        p_id: session.id,
        p_failure: declined,
    };
    match context.call(&call).await? {
        ConnectSessionFailed::Failed => Ok(location(session, "error", declined)),
        ConnectSessionFailed::Over => Err(ClientError::ConnectSessionOver.into()),
    }
}

/// Ends the session without a connection. Returns the URL with the error's code.
async fn fail(context: &Context<'_>, session: &SessionReturn, failure: &str) -> String {
    let call = FailConnectSession {
        p_id: session.id,
        p_failure: failure,
    };
    // The backend learns of the failure from the browser, or from the session's expiry.
    if let Err(error) = context.call(&call).await {
        let detail = error.detail().unwrap_or_default();
        log::warning(&context.request_id, &format!("a connect session: {detail}"));
    }
    location(session, "error", failure)
}

pub async fn failed(context: &Context<'_>, session: &SessionReturn, error: &Error) -> Response {
    let (status, code, _) = error.answer();
    let route = "callback of a connect session";
    log::failure(&context.request_id, route, status, code, error.detail());
    Response::see_other(fail(context, session, code).await)
}

fn location(session: &SessionReturn, name: &str, value: &str) -> String {
    let id = session.id.to_string();
    let mut pairs = vec![("session", id.as_str()), (name, value)];
    pairs.extend(
        session
            .return_state
            .as_deref()
            .map(|state| ("state", state)),
    );
    with_parameters(&session.return_url, &pairs)
}
