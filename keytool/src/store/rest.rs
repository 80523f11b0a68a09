use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::failure::{Cause, Failure};
use super::rows::{Answer, DELETED_AT_ONCE, Function, Page, Patch, Row, Rows, texts};
use super::tls::Authorities;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::{SERVICE_KEY, SUPABASE_URL};
use crate::web::Server;

/// The largest response that is read. The database cuts a page of rows long before.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

pub struct RestAddress {
    server: Server,
    key: Zeroizing<String>,
}

impl RestAddress {
    pub fn parse(url: &str, key: &str, authorities: Option<Authorities>) -> Result<Self> {
        let example = "https://your-project.supabase.co";
        let server = Server::parse(SUPABASE_URL, example, url, authorities)?;
        let key = Zeroizing::new(key.trim().to_owned());
        if !key.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(
                Error::new(ErrorKind::Caller, format!("{SERVICE_KEY} is no key"))
                    .hint("it is one word, beginning with sb_secret_ or eyJ"),
            );
        }
        Ok(Self { server, key })
    }

    pub fn name(&self) -> &str {
        &self.server.base
    }

    fn post(&self, function: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let Server { agent, base } = &self.server;
        let mut request = agent
            .post(format!("{base}/rest/v1/rpc/{function}"))
            .header("content-type", "application/json")
            .header("apikey", self.key.as_str());
        // A new key (sb_secret_) is not a token and must not be sent as one.
        if !self.key.starts_with("sb_") {
            request = request.header("authorization", format!("Bearer {}", self.key.as_str()));
        }
        let mut response = request.send(body).map_err(failure)?;
        let status = response.status().as_u16();
        let answer = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(failure)?;
        if status == 200 {
            Ok(answer)
        } else {
            Err(refusal(status, &answer))
        }
    }
}

/// The connection through PostgREST, for those who have only the worker's variables.
pub struct Rest {
    address: Arc<RestAddress>,
}

impl Rest {
    pub fn new(address: Arc<RestAddress>) -> Self {
        Self { address }
    }

    async fn post(&self, function: &'static str, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let address = Arc::clone(&self.address);
        tokio::task::spawn_blocking(move || address.post(function, &body))
            .await
            .map_err(|error| Failure::new(Cause::Unreachable, error))?
    }
}

#[derive(Deserialize)]
struct PageRow<'a> {
    id: &'a str,
    organization_id: &'a str,
    #[serde(borrow)]
    config: &'a RawValue,
    version: String,
}

impl Rows for Rest {
    fn read<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            let mut body = range(page);
            // PostgREST may cut the response ("Max rows"). The next page begins after the last row that came.
            body["p_limit"] = page.limit.into();
            let body = body.to_string().into_bytes();
            let answer = self.post("rewrap_read", body).await?;
            let rows: Vec<PageRow<'_>> = serde_json::from_slice(&answer).map_err(not_json)?;
            rows.into_iter()
                .map(|row| {
                    Ok(Row {
                        id: id(row.id)?,
                        organization_id: id(row.organization_id)?,
                        config: row.config.get().to_owned(),
                        version: row.version,
                    })
                })
                .collect()
        })
    }

    fn write<'a>(&'a self, patches: &'a [Patch]) -> Answer<'a, u64> {
        Box::pin(async move {
            let ids: Vec<Uuid> = patches.iter().map(|patch| patch.id).collect();
            let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
            let versions: Vec<&str> = patches.iter().map(|patch| &*patch.version).collect();
            let from: Vec<Option<String>> = patches.iter().map(Patch::old_kid).collect();
            let texts: Vec<&str> = patches.iter().map(|patch| &*patch.json).collect();
            let mut body = format!(
                r#"{{"p_ids":{},"p_versions":{},"p_from_kids":{},"p_patches":["#,
                to_raw_value(&ids).map_err(unreadable)?,
                to_raw_value(&versions).map_err(unreadable)?,
                to_raw_value(&from).map_err(unreadable)?,
            );
            body.push_str(&texts.join(","));
            body.push_str("]}");
            let answer = self.post("rewrap_write", body.into_bytes()).await?;
            serde_json::from_slice(&answer).map_err(not_json)
        })
    }

    fn call<'a>(&'a self, function: Function<'a>) -> Answer<'a, Value> {
        Box::pin(async move {
            let body = match function {
                Function::DeclareFence { kids } => json!({"p_kids": kids}),
                Function::RetireKey { kid, fence } => {
                    json!({"p_kid": kid.to_string(), "p_fence": fence.to_string()})
                }
                Function::RecordOpening {
                    reason,
                    kid,
                    organizations,
                } => {
                    let kid = kid.map(|kid| kid.to_string());
                    let ids: Vec<_> = organizations.iter().map(Uuid::to_string).collect();
                    json!({"p_reason": reason, "p_kid": kid, "p_organizations": ids})
                }
                Function::RecordRotation { part } => json!({"p_part": part}),
                Function::DataKeys { organizations } => {
                    let ids: Vec<_> = organizations.iter().map(Uuid::to_string).collect();
                    json!({"p_organization_ids": ids})
                }
                Function::NextDataKeys {
                    after,
                    wrapping,
                    limit,
                } => json!({
                    "p_after_organization_id": after.map(|(id, _)| id.to_string()),
                    "p_after_kid": after.map(|(_, kid)| kid.to_string()),
                    "p_wrapping_kid": wrapping.map(|kid| kid.to_string()),
                    "p_limit": limit,
                }),
                Function::AddDataKeys { data_keys } => json!({"p_data_keys": data_keys}),
                Function::RewrapDataKeys { rewrapped } => json!({"p_rewrapped": rewrapped}),
                Function::ReplaceDataKeys { replacements } => {
                    json!({"p_replacements": replacements})
                }
                Function::DeleteReplacedDataKeys => json!({"p_limit": DELETED_AT_ONCE}),
                Function::SealedWithDataKeys { .. } | Function::DeleteDataKeys { .. } => {
                    let message = "this needs a direct connection to the database";
                    return Err(Failure::new(Cause::NotDirect, message));
                }
                Function::RecordKeys { kids } => json!({"p_kids": texts(kids)}),
                Function::UnretireKey { kid } => json!({"p_kid": kid.to_string()}),
                Function::CreateServiceKey(new) => json!({
                    "p_user_id": null,
                    "p_organization_id": new.organization.map(|id| id.to_string()),
                    "p_name": new.name,
                    "p_prefix": new.prefix,
                    "p_hash": new.hash,
                    "p_scopes": new.scopes,
                    "p_days": new.days,
                }),
                Function::ExportIntegrations { ids } => {
                    let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
                    json!({"p_ids": ids})
                }
                Function::ReadSealedElsewhere { table, id } => {
                    json!({"p_table": table, "p_id": id.map(|id| id.to_string())})
                }
                Function::ListServiceKeys { organization } => {
                    json!({"p_user_id": null, "p_organization_id": organization.map(|id| id.to_string())})
                }
                Function::RevokeServiceKey { id } => {
                    json!({"p_user_id": null, "p_id": id.to_string()})
                }
                Function::LiftFence
                | Function::KeyRegistryState
                | Function::RewrapLoad
                | Function::ScheduleState => {
                    json!({})
                }
            };
            let answer = self
                .post(function.name(), body.to_string().into_bytes())
                .await?;
            serde_json::from_slice(&answer).map_err(not_json)
        })
    }
}

fn range(page: &Page) -> Value {
    json!({
        "p_after": page.after.map(|id| id.to_string()),
        "p_pending": page.pending,
        "p_until": page.until.map(|id| id.to_string()),
        "p_organization_id": page.organization.map(|id| id.to_string()),
    })
}

/// Parses an id. The parser's own message would quote a character of it.
fn id(text: &str) -> Result<Uuid, Failure> {
    text.parse()
        .map_err(|_| unreadable("an id that is no UUID"))
}

/// Classifies PostgREST's error body. Its `details` may quote a row and are left out.
fn refusal(status: u16, answer: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let body: Option<Body> = serde_json::from_slice(answer).ok();
    let message = body
        .as_ref()
        .map_or("no reason given", |body| &body.message);
    let message = format!("{message} (status {status})");
    match body.as_ref().map(|body| body.code.as_str()) {
        Some("PGRST202" | "PGRST205") => Failure::new(Cause::NotMigrated, message),
        // The key's role is not the service role.
        Some(code) if code.len() == 5 => Failure::of_state(code, &message),
        _ => Failure::new(
            match status {
                401 | 403 => Cause::Unauthenticated,
                404 | 405 => Cause::NoService,
                408 | 429 | 502 | 503 | 504 | 520..=529 => Cause::Unreachable,
                _ => Cause::Refused,
            },
            message,
        ),
    }
}

fn failure(error: ureq::Error) -> Failure {
    let cause = match &error {
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Protocol(_) => Cause::Unreachable,
        _ => Cause::Refused,
    };
    Failure::new(cause, error)
}

/// The position only, because serde quotes values.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn not_json(error: serde_json::Error) -> Failure {
    unreadable(format_args!(
        "line {} column {}",
        error.line(),
        error.column()
    ))
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        Cause::Refused,
        format_args!("an answer that is not PostgREST's: {error}"),
    )
}
