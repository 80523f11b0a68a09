use std::cell::RefCell;
use std::error::Error as _;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use tokio_postgres::{CancelToken, Client, Row as SqlRow};
use uuid::Uuid;

use super::address::DirectAddress;
use super::failure::{Cause, Failure};
use super::rows::{Answer, DELETED_AT_ONCE, Function, Page, Patch, Row, Rows, texts};

/// Longer than any call may take, including the two seconds that the functions wait for a lock.
const CALL: Duration = Duration::from_secs(30);

type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];
type SqlError = Box<dyn std::error::Error + Sync + Send>;

/// A direct connection. It keeps no state in the session, so that it works through a pooler in transaction mode: no prepared
/// statements, no SET; every call is one statement and one transaction.
pub struct Direct {
    address: Rc<DirectAddress>,
    client: RefCell<Option<Rc<Client>>>,
    /// Held from a call to its response. A pooler gives the server's session to another client at a response, even if our next call is
    /// already under way, and the halves of two calls would meet in one session.
    turn: tokio::sync::Mutex<()>,
}

impl Direct {
    pub fn new(address: Rc<DirectAddress>) -> Self {
        Self {
            address,
            client: RefCell::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The open connection, or a new one if it was lost.
    async fn client(&self) -> Result<Rc<Client>, Failure> {
        let standing = self.client.borrow().clone();
        if let Some(client) = standing.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let DirectAddress { config, tls, .. } = &*self.address;
        let (client, connection) = config.connect(tls.clone()).await.map_err(failure)?;
        // The task ends with the client. Its errors appear in the calls.
        tokio::spawn(connection);
        let client = Rc::new(client);
        *self.client.borrow_mut() = Some(Rc::clone(&client));
        Ok(client)
    }

    async fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<SqlRow>, Failure> {
        let _turn = self.turn.lock().await;
        let client = self.client().await?;
        match tokio::time::timeout(CALL, client.query_typed(sql, parameters)).await {
            Ok(answer) => answer.map_err(failure),
            Err(_) => {
                self.cancel(client.cancel_token()).await;
                let message = format_args!("no answer in {} seconds", CALL.as_secs());
                Err(Failure::new(Cause::Unreachable, message))
            }
        }
    }

    /// Calls a function that takes one list as JSON.
    async fn send(
        &self,
        name: &str,
        list: &(impl Serialize + ?Sized),
    ) -> Result<Vec<SqlRow>, Failure> {
        let json = serde_json::to_string(list).map_err(unreadable)?;
        let sql = format!("select public.{name}($1)");
        self.query(&sql, &[(&Json(&json), Type::JSONB)]).await
    }

    /// Asks the server to cancel the running query, and drops the connection in any case.
    async fn cancel(&self, token: CancelToken) {
        self.client.borrow_mut().take();
        let tls = self.address.tls.clone();
        let _ = tokio::time::timeout(Duration::from_secs(5), token.cancel_query(tls)).await;
    }
}

impl Rows for Direct {
    fn read<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            let sql = "select id, organization_id, config, version from public.rewrap_read($1, $2, $3, $4, $5)";
            let limit = i32::from(page.limit);
            let rows = self
                .query(
                    sql,
                    &[
                        (&page.after, Type::UUID),
                        (&limit, Type::INT4),
                        (&page.pending, Type::BOOL),
                        (&page.until, Type::UUID),
                        (&page.organization, Type::UUID),
                    ],
                )
                .await?;
            rows.iter().map(read_row).collect()
        })
    }

    fn write<'a>(&'a self, patches: &'a [Patch]) -> Answer<'a, u64> {
        Box::pin(async move {
            let ids: Vec<Uuid> = patches.iter().map(|patch| patch.id).collect();
            let versions: Vec<&str> = patches.iter().map(|patch| &*patch.version).collect();
            let from: Vec<Option<String>> = patches.iter().map(Patch::old_kid).collect();
            let patches: Vec<Json<'_>> = patches.iter().map(|patch| Json(&patch.json)).collect();
            let rows = self
                .query(
                    "select to_jsonb(public.rewrap_write($1, $2, $3, $4))",
                    &[
                        (&ids, Type::UUID_ARRAY),
                        (&versions, Type::TEXT_ARRAY),
                        (&patches, Type::JSONB_ARRAY),
                        (&from, Type::TEXT_ARRAY),
                    ],
                )
                .await?;
            let Json(text) = only(&rows)?;
            serde_json::from_str(text).map_err(unreadable)
        })
    }

    fn call<'a>(&'a self, function: Function<'a>) -> Answer<'a, Value> {
        Box::pin(async move {
            let name = function.name();
            let rows = match function {
                Function::DeclareFence { kids } => {
                    let sql = format!("select public.{name}($1)");
                    self.query(&sql, &[(&kids, Type::TEXT_ARRAY)]).await?
                }
                Function::RetireKey { kid, fence } => {
                    let sql = format!("select public.{name}($1, $2)");
                    let kid = kid.to_string();
                    self.query(&sql, &[(&kid, Type::TEXT), (&fence, Type::UUID)])
                        .await?
                }
                Function::RecordKeys { kids } => {
                    let sql = format!("select public.{name}($1)");
                    self.query(&sql, &[(&texts(kids), Type::TEXT_ARRAY)])
                        .await?
                }
                Function::UnretireKey { kid } => {
                    let sql = format!("select public.{name}($1)");
                    self.query(&sql, &[(&kid.to_string(), Type::TEXT)]).await?
                }
                Function::RecordOpening {
                    reason,
                    kid,
                    organizations,
                } => {
                    let sql = format!("select to_jsonb(public.{name}($1, $2, $3))");
                    let kid = kid.map(|kid| kid.to_string());
                    self.query(
                        &sql,
                        &[
                            (&reason, Type::TEXT),
                            (&kid, Type::TEXT),
                            (&organizations, Type::UUID_ARRAY),
                        ],
                    )
                    .await?
                }
                Function::RecordRotation { part } => {
                    let sql = format!("select coalesce(to_jsonb(public.{name}($1)), 'null')");
                    self.query(&sql, &[(&i32::from(part), Type::INT4)]).await?
                }
                Function::DataKeys { organizations } => {
                    let sql = format!("select public.{name}($1)");
                    self.query(&sql, &[(&organizations, Type::UUID_ARRAY)])
                        .await?
                }
                Function::NextDataKeys {
                    after,
                    wrapping,
                    limit,
                } => {
                    let sql = format!("select public.{name}($1, $2, $3, $4)");
                    let after_kid = after.map(|(_, kid)| kid.to_string());
                    self.query(
                        &sql,
                        &[
                            (&after.map(|(id, _)| id), Type::UUID),
                            (&after_kid, Type::TEXT),
                            (&wrapping.map(|kid| kid.to_string()), Type::TEXT),
                            (&i32::from(limit), Type::INT4),
                        ],
                    )
                    .await?
                }
                Function::AddDataKeys { data_keys } => self.send(name, data_keys).await?,
                Function::RewrapDataKeys { rewrapped } => self.send(name, rewrapped).await?,
                Function::ReplaceDataKeys { replacements } => self.send(name, replacements).await?,
                Function::DeleteReplacedDataKeys => {
                    let sql = format!("select public.{name}($1)");
                    self.query(&sql, &[(&DELETED_AT_ONCE, Type::INT4)]).await?
                }
                Function::SealedWithDataKeys { organization }
                | Function::DeleteDataKeys { organization } => {
                    let sql = format!("select private.{name}($1)");
                    self.query(&sql, &[(&organization, Type::UUID)]).await?
                }
                Function::CreateServiceKey(new) => {
                    let sql = format!("select public.{name}(null, $1, $2, $3, $4, $5, null, $6)");
                    self.query(
                        &sql,
                        &[
                            (&new.organization, Type::UUID),
                            (&new.name, Type::TEXT),
                            (&new.prefix, Type::TEXT),
                            (&new.hash, Type::TEXT),
                            (&new.scopes, Type::TEXT_ARRAY),
                            (&new.days.map(i32::from), Type::INT4),
                        ],
                    )
                    .await?
                }
                Function::ExportIntegrations { ids } => {
                    let sql = format!("select public.{name}($1)");
                    self.query(&sql, &[(&ids, Type::UUID_ARRAY)]).await?
                }
                Function::ReadSealedElsewhere { table, id } => {
                    let sql = format!("select public.{name}($1, $2)");
                    self.query(&sql, &[(&table, Type::TEXT), (&id, Type::UUID)])
                        .await?
                }
                Function::ListServiceKeys { organization } => {
                    let sql = format!("select public.{name}(null, $1)");
                    self.query(&sql, &[(&organization, Type::UUID)]).await?
                }
                Function::RevokeServiceKey { id } => {
                    let sql = format!("select public.{name}(null, $1)");
                    self.query(&sql, &[(&id, Type::UUID)]).await?
                }
                Function::LiftFence
                | Function::KeyRegistryState
                | Function::RewrapLoad
                | Function::ScheduleState => {
                    self.query(&format!("select public.{name}()"), &[]).await?
                }
            };
            let Json(text) = only(&rows)?;
            serde_json::from_str(text).map_err(unreadable)
        })
    }
}

fn read_row(row: &SqlRow) -> Result<Row, Failure> {
    let Json(config) = row.try_get(2).map_err(failure)?;
    Ok(Row {
        id: row.try_get(0).map_err(failure)?,
        organization_id: row.try_get(1).map_err(failure)?,
        config: config.to_owned(),
        version: row.try_get(3).map_err(failure)?,
    })
}

/// A response of another shape. The message names the position only, because serde quotes values.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    Failure::new(
        Cause::Refused,
        format_args!("an unexpected answer: line {line} column {column}"),
    )
}

fn only<'a, T: FromSql<'a>>(rows: &'a [SqlRow]) -> Result<T, Failure> {
    first(rows)?.try_get(0).map_err(failure)
}

fn first(rows: &[SqlRow]) -> Result<&SqlRow, Failure> {
    rows.first()
        .ok_or_else(|| Failure::new(Cause::Refused, "an answer without a row"))
}

/// Reads jsonb as its text: in the binary protocol, a version byte precedes it.
#[derive(Debug)]
struct Json<'a>(&'a str);

const JSONB_VERSION: u8 = 1;

impl<'a> FromSql<'a> for Json<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, SqlError> {
        match bytes {
            [JSONB_VERSION, text @ ..] => Ok(Self(str::from_utf8(text)?)),
            _ => Err("jsonb of an unknown version".into()),
        }
    }

    accepts!(JSONB);
}

impl ToSql for Json<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, SqlError> {
        out.extend_from_slice(&[JSONB_VERSION]);
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSONB);
    to_sql_checked!();
}

/// The message of an error without its details, which may quote a value.
fn failure(error: tokio_postgres::Error) -> Failure {
    if let Some(answer) = error.as_db_error() {
        return Failure::of_state(answer.code().code(), answer.message());
    }
    let why = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    if why.contains("server does not support TLS") {
        return Failure::new(Cause::NoTls, why);
    }
    if error.is_closed() || is_io(&error) {
        return Failure::new(Cause::Unreachable, why);
    }
    Failure::new(Cause::Refused, why)
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::iter::successors(error.source(), |error| std::error::Error::source(*error))
        .any(|error| error.is::<std::io::Error>())
}
