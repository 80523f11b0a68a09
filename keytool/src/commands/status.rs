use std::rc::Rc;

use clap::{Args, ValueEnum};
use kms::WrappingKeys;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::Result;
use crate::keys::KeyArgs;
use crate::output;
use crate::progress::Progress;
use crate::rotation::elsewhere::{self, Damaged};
use crate::rotation::findings::{Findings, ListArgs};
use crate::rotation::opening::Opening;
use crate::rotation::row_counts::{RowCounts, Seen};
use crate::rotation::scan::scan;
use crate::rotation::scope::Scope;
use crate::rotation::verify::{Inspect, record_keys};
use crate::session::{Session, SessionArgs};
use crate::shown::{do_not, rows};
use crate::store::registry::Registry;

#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    session: SessionArgs,

    #[command(flatten)]
    scope: Scope,

    #[command(flatten)]
    list: ListArgs,

    /// Also count the rows of each organization
    #[arg(long, value_enum)]
    by: Option<By>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Organization,
}

/// With keys it opens every row. Without, it reports only which key each row names.
pub async fn run(args: &StatusArgs, keys: &KeyArgs, progress: Rc<Progress>) -> Result<()> {
    let ring = keys.ring_if_given()?;
    let (session, _) = Session::open(&args.session, ring.as_ref(), progress).await?;
    args.scope.ensure_known(session.connection()).await?;
    let findings = Findings::new(args.list, &session.progress);
    let mut inspect = Inspect::new(ring.as_ref(), findings);
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
        async |connection, rows| inspect.page(connection, rows).await,
    )
    .await?;
    let (seen, findings) = inspect.seen();
    record_keys(&session, &seen.all).await?;
    let report = Report {
        seen: &seen,
        registry: &session.registry().await?,
        ring: ring.as_ref(),
        scope: &args.scope,
    };
    let damaged = match ring.as_ref().zip(opening.as_ref()) {
        Some((ring, opening)) if args.scope.is_everything() => {
            elsewhere::open_all(&session, ring, opening).await?
        }
        _ => Damaged::default(),
    };
    session.progress.finish();
    findings.report(&session.progress)?;
    damaged.report(&session.progress)?;
    if session.progress.is_json() {
        output::json(&report.to_json())?;
    } else {
        report
            .lines()
            .iter()
            .try_for_each(|line| output::line(line))?;
    }
    findings.ensure_none()?;
    damaged.ensure_none()?;
    match &ring {
        Some(ring) if args.scope.is_everything() => {
            report.registry.elsewhere.ensure_only(ring, ring)
        }
        _ => Ok(()),
    }
}

struct Report<'a> {
    seen: &'a Seen,
    registry: &'a Registry,
    ring: Option<&'a WrappingKeys>,
    scope: &'a Scope,
}

impl Report<'_> {
    fn to_json(&self) -> Value {
        let organizations: Vec<Value> = self
            .organizations()
            .map(|(id, counts)| json!({"id": id.to_string(), "tally": counts.to_json()}))
            .collect();
        let (seen, ring) = (self.seen, self.ring);
        json!({
            "event": "status",
            "part": self.scope.to_json(),
            "tally": seen.all.to_json(),
            "primary": ring.map(|ring| ring.primary_kid().to_string()),
            "fallbacks": ring.map(|ring| ring.kids().skip(1).map(|kid| kid.to_string()).collect::<Vec<_>>()),
            "not_on_primary": ring.map(|ring| seen.all.not_on(ring.primary_kid())),
            "left": ring.map(|_| seen.all.left()),
            "opened": ring.is_some(),
            "organizations": organizations,
            "other_organizations": (seen.others.rows > 0).then(|| seen.others.to_json()),
            "sealed_elsewhere": self.registry.elsewhere.to_json(),
            "registry": self.registry.to_json(),
        })
    }

    fn lines(&self) -> Vec<String> {
        let counts = &self.seen.all;
        let part = self.scope.of_part();
        let mut lines = vec![format!("rows{part}: {}", counts.rows)];
        lines.extend(counts.by_wrapping_kid.iter().map(|(kid, count)| {
            let (organizations, role) = (
                self.seen.organizations_of(*kid),
                self.role(&kid.to_string()),
            );
            format!("  data keys of {organizations}, wrapped with key {kid}{role}: {count}")
        }));
        lines.extend(
            self.count_lines(counts)
                .into_iter()
                .map(|line| format!("  {line}")),
        );
        if counts.replaced_data_key > 0 {
            lines.push(format!(
                "of these, {} sealed with data keys that were replaced: run `keytool rotate`",
                rows(counts.replaced_data_key)
            ));
        }
        if counts.do_not_open() > 0 {
            let classes: Vec<String> = counts
                .classes
                .iter()
                .map(|(class, rows)| format!("{}: {rows}", class.as_str()))
                .collect();
            lines.push(format!(
                "of these, {} not open ({})",
                do_not(counts.do_not_open()),
                classes.join(", ")
            ));
        }
        match self.ring {
            Some(ring) => {
                let (kid, tenths, left) =
                    (ring.primary_kid(), counts.done_per_mille(), counts.left());
                let done = format!("{}.{} %", tenths / 10, tenths % 10);
                lines.push(format!(
                    "rotation{part} to {kid}: {done}, {} left",
                    rows(left)
                ));
                if self.scope.is_everything() {
                    let left = self.registry.elsewhere.left(ring);
                    lines.extend(left.iter().map(|left| format!("not over yet: {left}")));
                }
                if self.registry.is_retired(kid) {
                    lines.push(format!("warning: the primary key {kid} is retired, so ENCRYPTION_KEY is an old key: set the one that the worker seals with"));
                }
            }
            None => lines.push(
                "warning: ENCRYPTION_KEY environment variable is not set: nothing was opened, so this does not say whether the rows open".to_owned(),
            ),
        }
        for (id, counts) in self.organizations() {
            let parts = self.count_lines(counts).join("; ");
            lines.push(format!("organization {id}: {}: {parts}", rows(counts.rows)));
        }
        if self.seen.others.rows > 0 {
            let parts = self.count_lines(&self.seen.others).join("; ");
            lines.push(format!(
                "other organizations: {}: {parts}",
                rows(self.seen.others.rows)
            ));
        }
        if self.scope.is_everything() {
            lines.extend(self.registry.elsewhere.lines(|kid| self.role(kid)));
        }
        lines.extend(self.registry.lines());
        lines
    }

    fn organizations(&self) -> impl Iterator<Item = (&Uuid, &RowCounts)> {
        let mut organizations: Vec<_> = self.seen.organizations.iter().collect();
        organizations.sort_by_key(|(id, _)| **id);
        organizations.into_iter()
    }

    /// The categories that the rows are in: each row is in one.
    fn count_lines(&self, counts: &RowCounts) -> Vec<String> {
        let kids = counts.by_kid.iter();
        let mut lines: Vec<String> = kids
            .map(|(kid, rows)| format!("key {kid}{}: {rows}", self.role(&kid.to_string())))
            .collect();
        let others = [
            (
                "data keys that their organizations no longer have",
                counts.missing_data_key,
            ),
            ("other keys", counts.other_kids),
            ("legacy form", counts.legacy),
            ("nothing sealed", counts.empty),
            ("unreadable", counts.unreadable),
        ];
        let others = others.iter().filter(|(_, rows)| *rows > 0);
        lines.extend(others.map(|(what, rows)| format!("{what}: {rows}")));
        lines
    }

    fn role(&self, kid: &str) -> &'static str {
        let mut kids = self.ring.into_iter().flat_map(WrappingKeys::kids);
        match kids.position(|known| known.to_string() == kid) {
            Some(0) => " (primary)",
            Some(_) => " (fallback)",
            None if self.ring.is_some() => " (not among your keys)",
            None => "",
        }
    }
}
