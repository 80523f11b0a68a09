//! The client of a grant: the organization's own app that it was issued to, or the deployment's.

use crate::context::Task;
use crate::credentials::Row;
use crate::db::OauthApp;
use crate::error::{ClientError, Result};
use crate::host::log;
use crate::ids::OrganizationId;
use crate::oauth_apps::secrets;
use crate::offer::{App, Offer, OfferOf};

/// The offer behind a grant. A secret that does not open is the app's fault and never the connection's.
pub async fn offer(
    task: &Task,
    kind: &str,
    organization: OrganizationId,
    app: Option<&OauthApp>,
) -> Result<OfferOf<'static>> {
    let settings = task.settings;
    let Some(app) = app else {
        let offer = settings.offer(kind).ok_or(ClientError::UnknownProvider)?;
        return Ok(OfferOf::Deployment(offer));
    };
    let oauth_type = settings.oauth_type(kind)?;
    let row = Row::OauthApp(app.id);
    let opened = task.open(organization, row, &app.config).await?;
    let opened = opened.inspect_err(|unopened| log::warning(&task.request_id, &unopened.detail));
    let read = opened.ok().as_ref().and_then(secrets::read);
    let (secret, fallback_secret) = read.ok_or(ClientError::AppUnreadable)?;
    let client = oauth_type.client(App {
        client_id: app.client_id.clone(),
        secret,
        fallback_secret,
        slug: app.slug.clone().unwrap_or_default(),
    });
    Ok(OfferOf::Own(Box::new(Offer::OAuth(client))))
}
