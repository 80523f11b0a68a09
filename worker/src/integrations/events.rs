//! An integration's events: `GET /api/integrations/:id/events`.

use crate::auth::service_key::Scope;
use crate::context::Context;
use crate::db::events::{self, Page};
use crate::error::{Error, Result};
use crate::host;
use crate::http::Response;
use crate::ids::IntegrationId;
use crate::integrations::detail;

/// Returns a page, newest first. Events outlive their integration. An unknown integration and a foreign one get the same response.
pub async fn events(context: &Context<'_>, id: &str) -> Result<Response> {
    let id = IntegrationId::parse(id)?;
    let page = Page::parse(&context.incoming.head.query)?;
    let reader = context.principal(Scope::ConnectionsRead).await?.reader;
    let ask = async |page| {
        let request = events::request(&context.settings.supabase, &reader, id, page);
        let answer = host::fetch(&request)
            .await
            .map_err(|error| Error::no_answer("events", error))?;
        events::read(&answer, page)
    };
    let mut trail = ask(page).await?;
    match trail.last {
        Some(last) if trail.next_cursor.is_none() => {
            let has_more = ask(Page::after(last)).await?.has_more;
            trail.next_cursor = has_more.then(|| last.to_string());
        }
        Some(_) => {}
        None => {
            detail::owner(context, &reader, id).await?;
        }
    }
    Ok(Response::json(200, &trail))
}
