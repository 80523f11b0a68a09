use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use crate::data_keys::DataKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::import::{Client, Code, Format, Outcome, RowKeys, Source, start};
use crate::keys::KeyArgs;
use crate::progress::Progress;
use crate::settings::{self, API_KEY, uuid};
use crate::store::read_authorities;
use crate::web::Server;

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The file to import; - reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Address of the worker, as people open the connect page
    #[arg(long, value_name = "URL", required_unless_present = "dry_run")]
    url: Option<String>,

    /// What wrote the file
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Connections)]
    from: Format,

    /// The organization of lines that name none
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    organization: Option<Uuid>,

    /// The integration type for a name of the source; may be repeated
    #[arg(long = "type", value_name = "NAME=TYPE", value_parser = pair)]
    types: Vec<(String, String)>,

    /// The credential's field for a name of the source; may be repeated
    #[arg(long = "field", value_name = "NAME=FIELD", value_parser = pair)]
    fields: Vec<(String, String)>,

    /// The wrapped data keys that sealed the rows, as `keytool data-keys` prints them (--from rows)
    #[arg(long, value_name = "FILE")]
    data_keys: Option<PathBuf>,

    /// Replace the credentials of accounts that are connected already; without it these are skipped
    #[arg(long)]
    replace: bool,

    /// Read every line and send none
    #[arg(long)]
    dry_run: bool,

    /// Number of lines that are imported at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,

    /// Trust the certificates in this file (PEM) instead of the public authorities
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// The argument is not repeated: it may be a secret in the wrong place.
fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("not of the form NAME=VALUE"),
    }
}

/// How many lines ended in which way.
#[derive(Default)]
struct Counts {
    imported: u64,
    replaced: u64,
    already_connected: u64,
    ready: u64,
    failed: u64,
}

async fn row_keys(args: &ImportArgs, keys: &KeyArgs) -> Result<RowKeys> {
    let ring = keys.ring()?;
    let data_keys = match &args.data_keys {
        Some(path) => DataKeys::from_file(&ring, path).await?,
        None => DataKeys::default(),
    };
    Ok(RowKeys { ring, data_keys })
}

pub async fn run(args: &ImportArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    let client = match &args.url {
        Some(url) if !args.dry_run => Some(client(args, url)?),
        _ => None,
    };
    let source = Source {
        format: args.from,
        types: args.types.iter().cloned().collect(),
        fields: args.fields.iter().cloned().collect(),
        organization: args.organization,
        keys: match args.from {
            Format::Rows => Some(row_keys(args, keys).await?),
            _ => None,
        },
    };
    let input = input(args)?;
    progress.phase("import", None, false);
    progress.writes_as("imported");
    let mut reports = start(input, source, client, args.jobs);
    let mut counts = Counts::default();
    let read = async {
        while let Some(report) = reports.recv().await {
            let (number, outcome) = report?;
            progress.scanned(1);
            counts.add(args.from.unit(), number, &outcome, &progress)?;
        }
        Ok(())
    };
    let outcome: Result<()> = tokio::select! {
        outcome = read => outcome,
        () = progress.show() => Ok(()),
    };
    progress.finish();
    // Also when it could not continue: what was imported stays so.
    counts.report(args.dry_run, &progress)?;
    outcome?;
    counts.ensure_none_failed()
}

fn client(args: &ImportArgs, url: &str) -> Result<Client> {
    let authorities = args.ca_file.as_deref();
    let authorities = authorities
        .map(|file| read_authorities(file, "the certificate file of --ca-file"))
        .transpose()?;
    let server = Server::parse("--url", "https://connect.example.com", url, authorities)?;
    let Some(key) = settings::secret(API_KEY)? else {
        return Err(Error::new(
            ErrorKind::Caller,
            format!("{API_KEY} environment variable is not set"),
        )
        .hint("set it to a service key: keytool service-key create --scope connections:import"));
    };
    let key_is_fine =
        key.trim().bytes().all(|c| c.is_ascii_graphic()) && key.trim().starts_with("sik_");
    if !key_is_fine {
        return Err(
            Error::new(ErrorKind::Caller, format!("{API_KEY} is no service key"))
                .hint("it is one word, beginning with sik_"),
        );
    }
    Ok(Client::new(server, &key, args.replace))
}

fn input(args: &ImportArgs) -> Result<Box<dyn Read + Send>> {
    if args.file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(&args.file).map_err(|error| {
        Error::new(
            ErrorKind::Caller,
            format!("the file cannot be read: {error}"),
        )
        .hint("give the name of a file, or - for stdin")
    })?;
    Ok(Box::new(file))
}

impl Counts {
    fn add(
        &mut self,
        unit: &str,
        number: u64,
        outcome: &Outcome,
        progress: &Progress,
    ) -> Result<()> {
        match outcome {
            Outcome::Imported { replaced, ends } => {
                progress.wrote(1);
                match replaced {
                    true => self.replaced += 1,
                    false => self.imported += 1,
                }
                if *ends {
                    progress.step(
                        &json!({"event": "not_refreshable", unit: number}),
                        &format!("{unit} {number}: imported without a refresh token: it ends with its access token"),
                    )?;
                }
            }
            Outcome::AlreadyConnected => self.already_connected += 1,
            Outcome::Ready => self.ready += 1,
            Outcome::Failed(code) => {
                self.failed += 1;
                self.say(unit, number, code, progress)?;
            }
        }
        Ok(())
    }

    fn say(&self, unit: &str, number: u64, code: &Code, progress: &Progress) -> Result<()> {
        progress.step(
            &json!({"event": "not_imported", unit: number, "code": code.as_str()}),
            &format!("{unit} {number}: {code}"),
        )
    }

    fn report(&self, dry_run: bool, progress: &Progress) -> Result<()> {
        let Self {
            imported,
            replaced,
            already_connected,
            ready,
            failed,
        } = self;
        if dry_run {
            return progress.step(
                &json!({"event": "import_read", "ready": ready, "failed": failed}),
                &format!("{ready} can be sent; {failed} cannot"),
            );
        }
        progress.step(
            &json!({
                "event": "import_done", "imported": imported, "replaced": replaced, "already_connected": already_connected,
                "failed": failed,
            }),
            &format!(
                "imported {imported}; replaced {replaced}; {already_connected} were connected already; {failed} failed"
            ),
        )
    }

    fn ensure_none_failed(&self) -> Result<()> {
        if self.failed == 0 {
            return Ok(());
        }
        let message = match self.failed {
            1 => "1 was not imported".to_owned(),
            failed => format!("{failed} were not imported"),
        };
        Err(Error::new(ErrorKind::Line, message)
            .hint("each is listed with a code, which docs/import.md explains; run it again when they are corrected: nothing is stored twice"))
    }
}
