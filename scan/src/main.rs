//! `scan`: checks one account at a provider, with one credential given in the environment or over recorded answers.
//!
//! ```text
//! scan supabase --fixture checks/fixtures/supabase
//! SCAN_TOKEN=… scan supabase --set project_id=abcdefghijklmnopqrst --format sarif
//! ```
//!
//! Results go to stdout, progress and faults to stderr. The exit status says the worst of what was found: see [`exit`].

mod args;
mod drive;
mod exit;
mod fixture;
mod http;
mod shown;
mod table;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use checks::{Entry, Export, Row};
use clap::Parser;

use args::{Args, Output};
use drive::Scanned;
use exit::Exit;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(exit) => exit.into(),
        Err(fault) => {
            eprintln!("error: {}", shown::shown(&fault));
            Exit::Usage.into()
        }
    }
}

fn run(args: &Args) -> Result<Exit, String> {
    let entry = args.entry()?;
    let scanned = match &args.fixture {
        Some(folder) => fixture::Fixture::read(folder)?.scan(entry)?,
        None => http::scan(entry, args)?,
    };
    let mut stdout = std::io::stdout().lock();
    let text = write(entry, &scanned, args.output(stdout.is_terminal()));
    // A reader that has gone away has seen enough.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    Ok(Exit::of(&scanned))
}

fn write(entry: &Entry, scanned: &Scanned, output: Output) -> String {
    let format = match output {
        Output::Table => return table::write(entry, scanned),
        Output::Format(format) => format,
    };
    let rows = scanned.report.outcomes();
    let rows = rows.map(Row::from);
    Export {
        entry,
        integration: None,
        account: &scanned.account,
        rows: rows.collect(),
        coverage: &scanned.coverage,
        time: scanned.time,
        ended: scanned.ended,
        version: env!("CARGO_PKG_VERSION"),
    }
    .write(format)
}
