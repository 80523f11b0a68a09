//! The command's arguments. The credential is not one of them, because every user of the machine can see arguments.

use std::collections::BTreeMap;
use std::path::PathBuf;

use checks::{Entry, Format};
use clap::{Parser, ValueEnum};

/// Checks one account at a provider. The credential is read from SCAN_TOKEN.
///
/// Exit status: 0 everything passes, 1 something fails, 3 nothing fails but something could not be seen, 2 the command itself failed.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// The provider: supabase, github, gitlab, auth0, vercel, heroku, discord, or the path of an entry that is being written
    provider: String,

    /// Answer from the recorded answers in this folder, and ask nobody
    #[arg(long, value_name = "DIR")]
    pub fixture: Option<PathBuf>,

    /// A field of the connection that URLs name, such as project_id=abcdefghijklmnopqrst
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting, conflicts_with = "fixture")]
    settings: Vec<(String, String)>,

    /// What the credential was granted, separated by spaces; what it does not cover is not asked
    #[arg(long, value_name = "SCOPES", conflicts_with = "fixture")]
    granted: Option<String>,

    /// How the results are written: a table on a terminal, otherwise JSON
    #[arg(long, value_enum)]
    format: Option<Written>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Written {
    Table,
    Json,
    Csv,
    Sarif,
    Ocsf,
}

/// How the results are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    Table,
    Format(Format),
}

impl Args {
    /// The entry that is compiled in, or read from a file as the build would.
    pub fn entry(&self) -> Result<&'static Entry, String> {
        if let Some(entry) = checks::entry(&self.provider) {
            return Ok(entry);
        }
        if !self.provider.ends_with(".json") {
            let known: Vec<&str> = checks::entries().iter().map(|entry| &*entry.kind).collect();
            return Err(format!(
                "there are no checks of {}; there are: {}, or the path of an entry",
                self.provider,
                known.join(", ")
            ));
        }
        let told = |fault: String| format!("{}: {fault}", self.provider);
        let text =
            std::fs::read_to_string(&self.provider).map_err(|fault| told(fault.to_string()))?;
        let entry = checks::parse(&text).map_err(told)?;
        // One for the life of the process.
        Ok(Box::leak(Box::new(entry)))
    }

    /// The values of the entry's settings.
    pub fn settings(&self, entry: &Entry) -> Result<BTreeMap<String, String>, String> {
        let given: BTreeMap<String, String> = self.settings.iter().cloned().collect();
        let unknown = given.keys().find(|name| !entry.settings.contains(name));
        if let Some(name) = unknown {
            return Err(format!("{} has no setting {name}", entry.name));
        }
        let missing = entry
            .settings
            .iter()
            .find(|name| !given.contains_key(*name));
        match missing {
            Some(name) => Err(format!("--set {name}=… is missing")),
            None => Ok(given),
        }
    }

    pub fn granted(&self) -> Option<Vec<String>> {
        let granted = self.granted.as_ref()?;
        Some(granted.split_whitespace().map(str::to_owned).collect())
    }

    pub fn output(&self, is_terminal: bool) -> Output {
        match self.format {
            Some(Written::Table) => Output::Table,
            Some(Written::Json) => Output::Format(Format::Json),
            Some(Written::Csv) => Output::Format(Format::Csv),
            Some(Written::Sarif) => Output::Format(Format::Sarif),
            Some(Written::Ocsf) => Output::Format(Format::Ocsf),
            None if is_terminal => Output::Table,
            None => Output::Format(Format::Json),
        }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
