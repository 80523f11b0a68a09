use clap::{Args, ValueEnum};
use sealed::{KeyRing, Kid};
use serde_json::{Value, json};

use crate::error::Result;
use crate::keys::KeyArgs;
use crate::output;
use crate::rotation::finding::ensure_none;
use crate::rotation::opening::Opening;
use crate::rotation::scan::scan;
use crate::rotation::scope::Scope;
use crate::rotation::verify::{Inspect, RowCounts, Seen};
use crate::session::{Session, SessionArgs};
use crate::store::registry::Registry;

#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    session: SessionArgs,

    #[command(flatten)]
    scope: Scope,

    /// Also count the rows of each organization
    #[arg(long, value_enum)]
    by: Option<By>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Organization,
}

/// With keys it opens every row. Without, it reports only which key each row names.
pub async fn run(args: &StatusArgs, keys: &KeyArgs, json: bool) -> Result<()> {
    let ring = keys.ring_if_given()?;
    let (session, registry) = Session::open(&args.session, json).await?;
    let mut inspect = Inspect::new(ring.as_ref(), &session.progress);
    if let Some(By::Organization) = args.by {
        inspect = inspect.by_organization();
    }
    let opening = ring.as_ref().map(|_| Opening::new("verify", None));
    scan(
        &session,
        "status",
        opening.as_ref(),
        &args.scope,
        None,
        async |_, rows| inspect.page(rows),
    )
    .await?;
    let seen = inspect.seen();
    // Clears the progress bar before the result is printed.
    drop(session);
    if json {
        output::json(&to_json(&seen, &registry, ring.as_ref()))?;
    } else {
        print(&seen, &registry, ring.as_ref())?;
    }
    ensure_none(seen.all.do_not_open())
}

fn to_json(seen: &Seen, registry: &Registry, ring: Option<&KeyRing>) -> Value {
    let mut organizations: Vec<_> = seen.organizations.iter().collect();
    organizations.sort_by_key(|(id, _)| **id);
    let organizations: Vec<Value> = organizations
        .into_iter()
        .map(|(id, counts)| json!({"id": id.to_string(), "tally": counts.to_json()}))
        .collect();
    json!({
        "event": "status",
        "tally": seen.all.to_json(),
        "primary": ring.map(|ring| ring.primary_kid().to_string()),
        "fallbacks": ring.map(|ring| ring.kids().skip(1).map(|kid| kid.to_string()).collect::<Vec<_>>()),
        "not_on_primary": ring.map(|ring| seen.all.not_on(ring.primary_kid())),
        "opened": ring.is_some(),
        "organizations": organizations,
        "other_organizations": (seen.others.rows > 0).then(|| seen.others.to_json()),
        "registry": registry.to_json(),
    })
}

fn print(seen: &Seen, registry: &Registry, ring: Option<&KeyRing>) -> Result<()> {
    let counts = &seen.all;
    output::line(&format!("rows: {}", counts.rows))?;
    for line in count_lines(counts, ring) {
        output::line(&format!("  {line}"))?;
    }
    match ring {
        Some(ring) => {
            let sealed = counts.rows - counts.empty;
            let left = counts.not_on(ring.primary_kid());
            let done = if sealed == 0 {
                100.0
            } else {
                100.0 * (1.0 - left as f64 / sealed as f64)
            };
            output::line(&format!(
                "rotation to {}: {done:.1} %, {left} rows left",
                ring.primary_kid()
            ))?;
        }
        None => output::line("ENCRYPTION_KEY environment variable is not set: nothing was opened")?,
    }
    let mut organizations: Vec<_> = seen.organizations.iter().collect();
    organizations.sort_by_key(|(id, _)| **id);
    for (id, counts) in organizations {
        let parts = count_lines(counts, ring).join("; ");
        output::line(&format!("organization {id}: {} rows: {parts}", counts.rows))?;
    }
    if seen.others.rows > 0 {
        let parts = count_lines(&seen.others, ring).join("; ");
        output::line(&format!(
            "other organizations: {} rows: {parts}",
            seen.others.rows
        ))?;
    }
    registry
        .lines()
        .iter()
        .try_for_each(|line| output::line(line))
}

fn count_lines(counts: &RowCounts, ring: Option<&KeyRing>) -> Vec<String> {
    let role = |kid: Kid| match ring.and_then(|ring| ring.kids().position(|known| known == kid)) {
        Some(0) => " (primary)",
        Some(_) => " (fallback)",
        None if ring.is_some() => " (not in the ring)",
        None => "",
    };
    let mut lines: Vec<String> = counts
        .by_kid
        .iter()
        .map(|(kid, rows)| format!("key {kid}{}: {rows}", role(*kid)))
        .collect();
    let others = [
        ("other keys", counts.other_kids),
        ("legacy form", counts.legacy),
        ("nothing sealed", counts.empty),
    ];
    lines.extend(
        others
            .iter()
            .filter(|(_, rows)| *rows > 0)
            .map(|(what, rows)| format!("{what}: {rows}")),
    );
    lines.extend(
        counts
            .findings
            .iter()
            .map(|(class, rows)| format!("does not open, {}: {rows}", class.as_str())),
    );
    lines
}
