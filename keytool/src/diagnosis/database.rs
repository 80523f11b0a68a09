//! The database: whether it answers, has the migrations, and fits the keys.

use std::collections::BTreeMap;

use kms::WrappingKeys;
use sealed::{Form, Kid, form};
use serde_json::Value;

use super::Report;
use crate::config;
use crate::data_keys::DataKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::rotation::sample;
use crate::shown::{age, rows};
use crate::store::registry::Registry;
use crate::store::{Function, Page, Rows};

/// The schedule runs once a minute. What has been due for longer than this many seconds waits for one that does not run.
const OVERDUE: u64 = 600;

/// Checks all that a connection shows. It stops where nothing further can be seen.
pub async fn check(
    report: &Report,
    connection: &dyn Rows,
    ring: Option<&WrappingKeys>,
) -> Result<()> {
    let state = match connection.call(Function::KeyRegistryState).await {
        Ok(state) => state,
        Err(failure) => return report.wrong("database", &failure.into()),
    };
    report.ok("database", "it answers, and accepts the credentials")?;
    let (registry, sampled) = match read(connection, &state).await {
        Ok(read) => read,
        Err(error) => return report.wrong("migrations", &error),
    };
    report.ok("migrations", "every function that keytool calls is there")?;
    schedule(report, connection).await?;
    fence(report, &registry, ring)?;
    let Some(ring) = ring else { return Ok(()) };
    let primary = ring.primary_kid();
    report.outcome(
        "retired",
        registry.ensure_not_retired(primary),
        &format!("the primary key {primary} is not retired"),
    )?;
    integrations(report, &sampled, ring)?;
    report.outcome(
        "elsewhere",
        registry.elsewhere.ensure_only(ring, ring),
        "what is sealed outside integrations is sealed with your keys",
    )
}

/// Calls each function that only reads.
async fn read(connection: &dyn Rows, state: &Value) -> Result<(Registry, Sampled)> {
    let registry = Registry::read(state)?;
    connection.call(Function::RewrapLoad).await?;
    let first = Function::ReadSealedElsewhere {
        table: None,
        id: None,
    };
    connection.call(first).await?;
    Ok((registry, Sampled::read(connection).await?))
}

/// Which keys a sample of the rows names. None of them is opened.
#[derive(Default)]
struct Sampled {
    by_kid: BTreeMap<Kid, u64>,
    legacy: u64,
    unreadable: u64,
    missing_data_key: u64,
}

impl Sampled {
    async fn read(connection: &dyn Rows) -> Result<Self> {
        let mut sampled = Self::default();
        let mut seen = std::collections::HashSet::new();
        for page in sample::pages(&Page::default()) {
            let rows = connection.read(&page).await?;
            let organizations = rows.iter().map(|row| row.organization_id);
            let data_keys = DataKeys::of(connection, None, organizations).await?;
            for row in rows {
                if !seen.insert(row.id) {
                    continue;
                }
                match config::parse(&row.config).map(|config| form(&config)) {
                    Ok(Form::V2(kid)) => *sampled.by_kid.entry(kid).or_default() += 1,
                    Ok(form @ Form::V3(_)) => match data_keys.named(row.organization_id, form) {
                        Some(named) => *sampled.by_kid.entry(named.wrapping_kid).or_default() += 1,
                        None => sampled.missing_data_key += 1,
                    },
                    Ok(Form::Legacy) => sampled.legacy += 1,
                    Ok(Form::Empty) => {}
                    _ => sampled.unreadable += 1,
                }
            }
        }
        Ok(sampled)
    }
}

fn integrations(report: &Report, sampled: &Sampled, ring: &WrappingKeys) -> Result<()> {
    const CHECK: &str = "rows";
    let kids: Vec<Kid> = ring.kids().collect();
    if let Some((kid, count)) = sampled.by_kid.iter().find(|(kid, _)| !kids.contains(kid)) {
        let is = if *count == 1 { "is" } else { "are" };
        let message = format!(
            "{} of a sample {is} sealed with key {kid}, which is not among your keys",
            rows(*count)
        );
        let error = Error::new(ErrorKind::Key, message).hint(
            "if the worker seals with that key, ENCRYPTION_KEY is another one here or this is another database; if it is an older key, add it \
             to FALLBACK_ENCRYPTION_KEYS",
        );
        return report.wrong(CHECK, &error);
    }
    if sampled.unreadable > 0 {
        let message = format!(
            "{} of a sample cannot be read by this keytool",
            rows(sampled.unreadable)
        );
        let error = Error::new(ErrorKind::Row, message)
            .hint("run `keytool status`, which says what each needs");
        return report.wrong(CHECK, &error);
    }
    let on_fallbacks: u64 = kids[1..]
        .iter()
        .filter_map(|kid| sampled.by_kid.get(kid))
        .sum();
    if on_fallbacks + sampled.legacy > 0 {
        let message = format!(
            "{} of a sample are not sealed with the primary key yet",
            rows(on_fallbacks + sampled.legacy)
        );
        return report.note(CHECK, &message, "run `keytool rotate`");
    }
    if sampled.missing_data_key > 0 {
        let message = format!(
            "{} of a sample are sealed with data keys that their organizations no longer have",
            rows(sampled.missing_data_key)
        );
        let hint = "if `keytool delete-data-keys` deleted them, disconnect these integrations; if not, restore private.data_keys from a backup";
        return report.note(CHECK, &message, hint);
    }
    report.ok(CHECK, "a sample of them names the primary key")
}

fn fence(report: &Report, registry: &Registry, ring: Option<&WrappingKeys>) -> Result<()> {
    const CHECK: &str = "fence";
    let Some(fence) = &registry.fence else {
        return report.ok(CHECK, "down: every key may write");
    };
    let allowed: Vec<&str> = registry.allowed().collect();
    let up = format!(
        "up since {} ({}), for {}",
        fence.declared_at,
        age(fence.age_seconds),
        allowed.join(", ")
    );
    let Some(ring) = ring else {
        return report.ok(CHECK, &up);
    };
    if let Err(error) = registry.ensure_not_swapped(ring) {
        return report.wrong(CHECK, &error);
    }
    let primary = ring.primary_kid().to_string();
    if !allowed.contains(&&*primary) {
        let message =
            format!("{up}, not for the primary key {primary}: writes with it are rejected");
        let error = Error::new(ErrorKind::Caller, message)
            .hint("is ENCRYPTION_KEY the key that the worker seals with? to begin the next rotation, run `keytool fence --lift` first");
        return report.wrong(CHECK, &error);
    }
    report.note(
        CHECK,
        &up,
        "a rotation is at its end: `keytool retire`, then `keytool fence --lift` when no deployment has the old key",
    )
}

async fn schedule(report: &Report, connection: &dyn Rows) -> Result<()> {
    const CHECK: &str = "schedule";
    let state = match connection.call(Function::ScheduleState).await {
        Ok(state) => state,
        Err(failure) => return report.wrong("migrations", &failure.into()),
    };
    let overdue = state["overdue_seconds"].as_u64().unwrap_or(0);
    if overdue < OVERDUE {
        return report.ok(CHECK, "nothing is overdue");
    }
    let message = format!(
        "something that the schedule cleans up every minute was due {}",
        age(overdue)
    );
    let error = Error::new(ErrorKind::Database, message)
        .hint("the worker's Cron Trigger does not run, or fails: look for `scheduled` in its log, and at [triggers] in wrangler.toml");
    report.wrong(CHECK, &error)
}
