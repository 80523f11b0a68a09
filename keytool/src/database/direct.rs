use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use serde_json::Value;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};
use tokio_postgres::{CancelToken, Client, Row as SqlRow};
use uuid::Uuid;

use super::address::DirectAddress;
use super::{Answer, Cause, Failure, Function, LOOK, Look, Page, Patch, Row, Rows};

/// Longer than any call should take, waiting for locks included (two seconds, in the functions' own settings).
const CALL: Duration = Duration::from_secs(30);

/// A config of more bytes than this is large: PostgreSQL does not store it in the row itself, or does so compressed.
const LARGE: usize = 2048;

/// So many rows that are not large are taken in at once.
const FETCHED: u16 = 1000;

type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];
type SqlError = Box<dyn std::error::Error + Sync + Send>;

/// A direct connection. It keeps no state in the session, so that a pooler in transaction mode may stand between: no prepared
/// statements, no SET; every call is one statement and its own transaction.
pub struct Direct {
    address: Rc<DirectAddress>,
    client: RefCell<Option<Rc<Client>>>,
    /// Held from a call to its answer. A pooler hands the server's session to somebody else at an answer, even when the next call
    /// of ours is on its way already, and the halves of two calls then meet in one session.
    turn: tokio::sync::Mutex<()>,
    /// Whether `fetch` sees every row; unknown before the first page.
    sees_all: Cell<Option<bool>>,
    /// Configs are large here, so that pages have to be bounded by their bytes.
    is_large: Cell<bool>,
}

impl Direct {
    pub fn new(address: Rc<DirectAddress>) -> Self {
        Self {
            address,
            client: RefCell::new(None),
            turn: tokio::sync::Mutex::new(()),
            sees_all: Cell::new(None),
            is_large: Cell::new(false),
        }
    }

    /// The connection that stands, or a new one if it is gone.
    async fn client(&self) -> Result<Rc<Client>, Failure> {
        let standing = self.client.borrow().clone();
        if let Some(client) = standing.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let DirectAddress { config, tls } = &*self.address;
        let (client, connection) = config.connect(tls.clone()).await.map_err(failure)?;
        // It ends with the client, and what goes wrong in it comes out of the calls.
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
                let said = format_args!("no answer in {} seconds", CALL.as_secs());
                Err(Failure::new(Cause::Unreachable, said))
            }
        }
    }

    /// For the functions that take a page's arguments.
    async fn query_page(&self, sql: &str, page: &Page, limit: i32) -> Result<Vec<SqlRow>, Failure> {
        let current = page.current.map(|kid| kid.to_string());
        self.query(
            sql,
            &[
                (&page.after, Type::UUID),
                (&limit, Type::INT4),
                (&current, Type::TEXT),
                (&page.until, Type::UUID),
                (&page.organization, Type::UUID),
            ],
        )
        .await
    }

    /// `rewrap_fetch` runs with the caller's rights. Where row level security holds those back it shows no rows and no error, as if
    /// there were none; the other functions have rights of their own.
    async fn sees_all(&self) -> Result<bool, Failure> {
        if let Some(known) = self.sees_all.get() {
            return Ok(known);
        }
        let sql = "select has_table_privilege('public.integrations', 'select') and not row_security_active('public.integrations')";
        let sees_all = only(&self.query(sql, &[]).await?)?;
        self.sees_all.set(Some(sees_all));
        Ok(sees_all)
    }

    /// A page that only the number of its rows bounds; `None` if there is a large config in it.
    async fn fetch(&self, page: &Page) -> Result<Option<Vec<Row>>, Failure> {
        let sql = "select id, organization_id, config, version, is_large from public.rewrap_fetch($1, $2, $3, $4, $5)";
        let limit = page.limit.min(FETCHED);
        let rows = self.query_page(sql, page, limit.into()).await?;
        let mut page = Vec::with_capacity(rows.len());
        for (row, looked) in rows.iter().zip(1..) {
            if row.try_get(4).map_err(failure)? {
                return Ok(None);
            }
            page.push(read_row(row, looked)?);
        }
        Ok(Some(page))
    }

    /// A page that is bounded by its bytes too.
    async fn read(&self, page: &Page) -> Result<Vec<Row>, Failure> {
        let sql = "select id, organization_id, config, version, looked from public.rewrap_read($1, $2, $3, $4, $5)";
        let rows = self.query_page(sql, page, page.limit.into()).await?;
        let read = |row| read_row(row, number(row, 4)?);
        rows.iter().map(read).collect()
    }

    /// Asks the server to stop what it is doing for us, and gives the connection up either way.
    async fn cancel(&self, token: CancelToken) {
        self.client.borrow_mut().take();
        let tls = self.address.tls.clone();
        let _ = tokio::time::timeout(Duration::from_secs(5), token.cancel_query(tls)).await;
    }
}

impl Rows for Direct {
    fn page<'a>(&'a self, page: &'a Page) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            if !self.is_large.get()
                && self.sees_all().await?
                && let Some(rows) = self.fetch(page).await?
            {
                return Ok(rows);
            }
            let rows = self.read(page).await?;
            let mut configs = rows.iter().filter_map(|row| row.config.as_ref());
            self.is_large
                .set(configs.any(|config| config.len() > LARGE));
            Ok(rows)
        })
    }

    fn look<'a>(&'a self, page: &'a Page) -> Answer<'a, Look> {
        Box::pin(async move {
            let sql =
                "select looked, unfinished, last_id from public.rewrap_look($1, $2, $3, $4, $5)";
            let rows = self.query_page(sql, page, LOOK).await?;
            let row = first(&rows)?;
            Ok(Look {
                looked: number(row, 0)?.into(),
                unfinished: number(row, 1)?.into(),
                last: row.try_get(2).map_err(failure)?,
            })
        })
    }

    fn count<'a>(&'a self, page: &'a Page) -> Answer<'a, Look> {
        Box::pin(async move {
            let sql = "select looked, unfinished from public.rewrap_count($1, $2, $3, $4)";
            let current = page.current.map(|kid| kid.to_string());
            let rows = self
                .query(
                    sql,
                    &[
                        (&page.after, Type::UUID),
                        (&page.until, Type::UUID),
                        (&current, Type::TEXT),
                        (&page.organization, Type::UUID),
                    ],
                )
                .await?;
            let row = first(&rows)?;
            Ok(Look {
                looked: number(row, 0)?.into(),
                unfinished: number(row, 1)?.into(),
                last: page.until,
            })
        })
    }

    fn apply<'a>(&'a self, patches: &'a [Patch], durable: bool) -> Answer<'a, u64> {
        Box::pin(async move {
            let ids: Vec<Uuid> = patches.iter().map(|patch| patch.id).collect();
            let versions: Vec<&str> = patches.iter().map(|patch| &*patch.version).collect();
            let patches: Vec<Json<'_>> = patches.iter().map(|patch| Json(&patch.json)).collect();
            let rows = self
                .query(
                    "select public.rewrap_write($1, $2, $3, $4)",
                    &[
                        (&ids, Type::UUID_ARRAY),
                        (&versions, Type::TEXT_ARRAY),
                        (&patches, Type::JSONB_ARRAY),
                        (&durable, Type::BOOL),
                    ],
                )
                .await?;
            Ok(number(first(&rows)?, 0)?.into())
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
                    self.query(&sql, &[(&kid, Type::TEXT), (&fence, Type::UUID)])
                        .await?
                }
                Function::LiftFence | Function::KeyRegistryState | Function::RewrapVitals => {
                    self.query(&format!("select public.{name}()"), &[]).await?
                }
            };
            let Json(text) = only(&rows)?;
            serde_json::from_str(text).map_err(|error| Failure::new(Cause::Refused, error))
        })
    }
}

/// What both ways to a page begin with.
fn read_row(row: &SqlRow, looked: u32) -> Result<Row, Failure> {
    let config: Option<Json<'_>> = row.try_get(2).map_err(failure)?;
    Ok(Row {
        id: row.try_get(0).map_err(failure)?,
        organization_id: row.try_get(1).map_err(failure)?,
        config: config.map(|Json(text)| text.to_owned()),
        version: row.try_get(3).map_err(failure)?,
        looked,
    })
}

/// One that is never negative.
fn number(row: &SqlRow, index: usize) -> Result<u32, Failure> {
    let number: i32 = row.try_get(index).map_err(failure)?;
    Ok(number.unsigned_abs())
}

fn only<'a, T: FromSql<'a>>(rows: &'a [SqlRow]) -> Result<T, Failure> {
    first(rows)?.try_get(0).map_err(failure)
}

fn first(rows: &[SqlRow]) -> Result<&SqlRow, Failure> {
    rows.first()
        .ok_or_else(|| Failure::new(Cause::Refused, "an answer without a row"))
}

/// jsonb as its text: in the binary protocol, a byte for the version before it.
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

/// What went wrong, in words that name no value: an error of PostgreSQL may quote one in its details, which are left out.
fn failure(error: tokio_postgres::Error) -> Failure {
    if let Some(answer) = error.as_db_error() {
        return Failure::of_state(answer.code().code(), answer.message());
    }
    let why = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    if error.is_closed() || is_io(&error) {
        return Failure::new(Cause::Unreachable, why);
    }
    Failure::new(Cause::Refused, why)
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::iter::successors(error.source(), |error| std::error::Error::source(*error))
        .any(|error| error.is::<std::io::Error>())
}
