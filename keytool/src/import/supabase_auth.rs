//! Sessions of Supabase Auth, which hold the provider's tokens right after a sign-in only. What an application has kept of them, a line each.

use serde::Deserialize;

use super::entry::Entry;
use super::outcome::Code;
use super::source::{Found, Grant, Source, parse};

#[derive(Deserialize)]
struct Session {
    /// Ours: a session has none. Whoever prepares the file adds it.
    organization_id: Option<String>,
    provider_token: Option<String>,
    provider_refresh_token: Option<String>,
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    id: Option<String>,
    app_metadata: Option<AppMetadata>,
}

#[derive(Deserialize)]
struct AppMetadata {
    provider: Option<String>,
}

pub fn read(source: &Source, text: &[u8]) -> Result<Entry, Code> {
    let session: Session = parse(text)?;
    let grant = Grant {
        access_token: session.provider_token,
        refresh_token: session.provider_refresh_token,
        // The session's own expires_at is about Supabase's token.
        ..Grant::default()
    };
    let (external_user, metadata) = session
        .user
        .map_or((None, None), |user| (user.id, user.app_metadata));
    let found = Found {
        organization: session.organization_id,
        integration_type: metadata.and_then(|metadata| metadata.provider),
        account: None,
        external_user,
    };
    source.entry(found, grant.into_credential()?)
}
