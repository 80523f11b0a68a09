use kms::WrappingKeys;
use sealed::Kid;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::shown::rows;

/// What is sealed outside `integrations`, by table and key. The worker rewraps it, keytool does not.
#[derive(Debug)]
pub struct Elsewhere(Vec<SealedTable>);

/// Data keys are counted by the key that wraps them.
const DATA_KEYS: &str = "data_keys";

#[derive(Debug, Deserialize)]
pub struct SealedTable {
    table: String,
    kid: String,
    rows: u64,
}

impl Elsewhere {
    pub fn new(tables: Vec<SealedTable>) -> Self {
        Self(tables)
    }

    /// For a person, a line for each table and key.
    pub fn lines(&self, role: impl Fn(&str) -> &'static str) -> Vec<String> {
        let line = |SealedTable { kid, rows, .. }: &SealedTable| {
            format!("data keys: {rows} wrapped with key {kid}{}", role(kid))
        };
        let (keys, tables): (Vec<_>, Vec<_>) =
            self.0.iter().partition(|one| one.table == DATA_KEYS);
        let data_keys = keys.into_iter().map(line);
        let line = |SealedTable {
                        table,
                        kid,
                        rows: count,
                    }: &SealedTable| {
            format!(
                "{table}: {} sealed with key {kid}{}",
                rows(*count),
                role(kid)
            )
        };
        data_keys.chain(tables.into_iter().map(line)).collect()
    }

    /// For a person, on one line.
    pub fn to_sentence(&self) -> String {
        match &self.lines(|_| "")[..] {
            [] => "nothing else is sealed".to_owned(),
            lines => format!("sealed elsewhere: {}", lines.join("; ")),
        }
    }

    pub fn to_json(&self) -> Value {
        let tables = self.0.iter();
        tables
            .map(|SealedTable { table, kid, rows }| json!({"table": table, "kid": kid, "rows": rows}))
            .collect()
    }

    /// For a person: what a fallback key still opens, so a rotation is not over while all rows are done.
    pub fn left(&self, ring: &WrappingKeys) -> Vec<String> {
        let left = |kid: String| {
            let of_key = self.0.iter().filter(|one| one.kid == kid);
            let tables: Vec<(&str, u64)> = of_key.map(|one| (&*one.table, one.rows)).collect();
            (!tables.is_empty()).then(|| still_sealed(&kid, &tables))
        };
        let fallbacks = ring.kids().skip(1).map(|kid| kid.to_string());
        fallbacks.filter_map(left).collect()
    }

    /// Refuses if anything is sealed with a key that `used` has not. `all` are the keys that are here.
    pub fn ensure_only(&self, used: &WrappingKeys, all: &WrappingKeys) -> Result<()> {
        let has =
            |ring: &WrappingKeys, kid: &str| ring.kids().any(|known| known.to_string() == kid);
        let others: Vec<&SealedTable> = self.0.iter().filter(|one| !has(used, &one.kid)).collect();
        // A key that is not here comes first.
        let missing = others.iter().find(|one| !has(all, &one.kid));
        let Some(kid) = missing.or(others.first()).map(|one| one.kid.clone()) else {
            return Ok(());
        };
        let tables: Vec<(&str, u64)> = others
            .iter()
            .filter(|one| one.kid == kid)
            .map(|one| (&*one.table, one.rows))
            .collect();
        if missing.is_some() {
            let message = format!(
                "{} sealed with key {kid}, which is not among your keys",
                list(&tables)
            );
            return Err(Error::new(ErrorKind::Key, message).hint(
                "nothing need be wrong with these rows, so delete none: add that key to FALLBACK_ENCRYPTION_KEYS, or set ENCRYPTION_KEY to the worker's",
            ));
        }
        Err(still_needed(&kid, &tables))
    }

    /// The tables in `retire_key`'s answer.
    pub fn needed(kid: Kid, tables: &Value) -> Error {
        let tables: Vec<(&str, u64)> = tables
            .as_object()
            .into_iter()
            .flatten()
            .map(|(table, count)| (&**table, count.as_u64().unwrap_or(0)))
            .collect();
        still_needed(&kid.to_string(), &tables)
    }
}

fn still_needed(kid: &str, tables: &[(&str, u64)]) -> Error {
    let message = still_sealed(kid, tables);
    let has = |name: &str| tables.iter().any(|(table, _)| *table == name);
    let mut hints = Vec::new();
    if has(DATA_KEYS) {
        hints.push("`keytool rotate` rewraps data keys");
    }
    if has("webhook_endpoints") {
        hints.push("the worker's schedule rewraps 200 webhook secrets a minute, as long as it has a Cron Trigger and this key as a fallback");
    }
    if has("oauth_apps") {
        hints.push("the worker's schedule rewraps the secrets of OAuth apps likewise, together with those of webhooks 200 a minute");
    }
    if has("pending_revocations") {
        hints.push("a revocation that the provider does not confirm is given up after a day");
    }
    if has("credential_leases") {
        hints.push("a refreshed credential is written at the next refresh");
    }
    if has("pending_connections") || has("oauth_transactions") {
        hints.push("connections under way end within 15 minutes");
    }
    hints.push("then run this again");
    Error::new(ErrorKind::Database, message).hint(hints.join("; "))
}

fn still_sealed(kid: &str, tables: &[(&str, u64)]) -> String {
    format!("{} still sealed with key {kid}", list(tables))
}

/// "2 rows of webhook_endpoints and 1 row of pending_connections are"
fn list(tables: &[(&str, u64)]) -> String {
    let parts: Vec<String> = tables
        .iter()
        .map(|(table, count)| match *table {
            DATA_KEYS if *count == 1 => "1 data key".to_owned(),
            DATA_KEYS => format!("{count} data keys"),
            table => format!("{} of {table}", rows(*count)),
        })
        .collect();
    let total: u64 = tables.iter().map(|(_, count)| count).sum();
    format!(
        "{} {}",
        parts.join(" and "),
        if total == 1 { "is" } else { "are" }
    )
}
