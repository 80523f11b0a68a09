//! Writes opened connections to a file that is encrypted with age.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufWriter, Write};

use age::stream::StreamWriter;
use age::x25519::Recipient;
use kms::WrappingKeys;
use sealed::RowContext;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::findings::Findings;
use super::opening::Opening;
use super::scan::scan;
use super::scope::Scope;
use crate::data_keys::DataKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::store::retry::retry;
use crate::store::{Function, Row, Rows, unexpected_outcome};

/// A connection a line, as JSON, encrypted while it is written.
pub struct Export<'a> {
    ring: &'a WrappingKeys,
    out: RefCell<StreamWriter<BufWriter<File>>>,
    count: Cell<u64>,
    findings: RefCell<Findings>,
}

/// Writes every row of the scope. Each is written once; one that is changed meanwhile is written as it was read.
pub async fn connections(session: &Session, export: &Export<'_>, scope: &Scope) -> Result<()> {
    let opening = Opening::new("export", None);
    let each = async |connection: &dyn Rows, rows| export.page(connection, rows).await;
    scan(session, "export", Some(&opening), scope, None, each).await
}

impl<'a> Export<'a> {
    pub fn new(
        file: File,
        recipients: &[Recipient],
        ring: &'a WrappingKeys,
        findings: Findings,
    ) -> Result<Self> {
        let recipients = recipients.iter().map(|one| one as &dyn age::Recipient);
        let out = age::Encryptor::with_recipients(recipients)
            .map_err(|error| Error::new(ErrorKind::Machine, format!("age: {error}")))?
            .wrap_output(BufWriter::new(file))
            .map_err(|error| cannot_write(&error))?;
        Ok(Self {
            ring,
            out: RefCell::new(out),
            count: Cell::new(0),
            findings: RefCell::new(findings),
        })
    }

    /// Writes the end, without which nothing decrypts. Returns the number of connections.
    pub fn finish(self) -> Result<(u64, Findings)> {
        let end = || -> io::Result<()> {
            let mut buffer = self.out.into_inner().finish()?;
            buffer.flush()?;
            buffer.get_ref().sync_all()
        };
        end().map_err(|error| cannot_write(&error))?;
        Ok((self.count.get(), self.findings.into_inner()))
    }

    async fn page(&self, connection: &dyn Rows, rows: Vec<Row>) -> Result<()> {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let call = Function::ExportIntegrations { ids: &ids };
        let mut answer = retry(async || connection.call(call).await).await?;
        let Some(columns) = answer["rows"].as_object_mut() else {
            return Err(unexpected_outcome("no columns"));
        };
        let organizations = rows.iter().map(|row| row.organization_id);
        let data_keys = DataKeys::of(connection, Some(self.ring), organizations).await?;
        for row in rows {
            // Without columns the row was deleted meanwhile.
            if let Some(Value::Object(columns)) = columns.remove(&row.id.to_string()) {
                self.write(&data_keys, &row, columns)?;
            }
        }
        Ok(())
    }

    fn write(
        &self,
        data_keys: &DataKeys,
        row: &Row,
        mut columns: Map<String, Value>,
    ) -> Result<()> {
        let context = RowContext {
            organization_id: row.organization_id,
            integration_id: row.id,
        };
        let opened = match data_keys.open_text(self.ring, context, &row.config) {
            Ok(opened) => opened,
            Err(finding) => {
                self.findings.borrow_mut().add(finding);
                return Ok(());
            }
        };
        columns.insert("id".to_owned(), json!(row.id.to_string()));
        columns.insert(
            "organization_id".to_owned(),
            json!(row.organization_id.to_string()),
        );
        let columns = serde_json::to_string(&columns);
        let config = serde_json::to_string(opened.as_map()).map(Zeroizing::new);
        let (Ok(columns), Ok(config)) = (columns, config) else {
            return Err(Error::new(ErrorKind::Machine, "no JSON"));
        };
        let mut out = self.out.borrow_mut();
        // The config is the object's last member.
        let mut line = || -> io::Result<()> {
            out.write_all(columns.strip_suffix('}').unwrap_or(&columns).as_bytes())?;
            out.write_all(b",\"config\":")?;
            out.write_all(config.as_bytes())?;
            out.write_all(b"}\n")
        };
        line().map_err(|error| cannot_write(&error))?;
        self.count.set(self.count.get() + 1);
        Ok(())
    }
}

fn cannot_write(error: &io::Error) -> Error {
    let message = format!("the file of --out cannot be written: {error}");
    Error::new(ErrorKind::Machine, message).hint("is there room on the disk?")
}
