//! How users of the project can sign in: what its Supabase Auth has switched on.

use crate::auth::supabase::{self, Methods};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::host::{self, now_ms};
use crate::http::Response;
use std::cell::RefCell;

/// How long the answer of Supabase Auth is used, in milliseconds.
const MAX_AGE_MS: f64 = 60_000.0;

thread_local! {
    static KNOWN: RefCell<Option<(f64, Methods)>> = const { RefCell::new(None) };
}

/// `GET /api/session/methods`
pub async fn list(context: &Context<'_>) -> Result<Response> {
    let known = KNOWN.with_borrow(|known| {
        let (since, methods) = known.as_ref()?;
        (now_ms() - since < MAX_AGE_MS).then(|| methods.clone())
    });
    let methods = match known {
        Some(methods) => methods,
        None => asked(context).await?,
    };
    Ok(Response::json(200, &methods))
}

async fn asked(context: &Context<'_>) -> Result<Methods> {
    let answer = host::fetch(&supabase::settings_request(&context.settings.supabase))
        .await
        .map_err(|error| Error::no_answer("sign-in methods", error))?;
    let methods = supabase::read_methods(&answer)?;
    KNOWN.with_borrow_mut(|known| *known = Some((now_ms(), methods.clone())));
    Ok(methods)
}
