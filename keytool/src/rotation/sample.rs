//! Opens a sample of rows before the first write, to detect a missing or wrong key.

use std::collections::{BTreeMap, HashSet};

use kms::WrappingKeys;
use sealed::{Form, Kid, RowContext, form};
use uuid::Uuid;

use crate::config;
use crate::data_keys::DataKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::store::retry::retry;
use crate::store::{Page, Rows};

/// The number of positions in the id space, and of rows at each.
const PLACES: u128 = 16;
const ROWS: u16 = 40;

/// A single row with an unknown key is reported as a finding. From this many rows on, and from one in a hundred, a key is missing.
const SUSPICIOUS: u64 = 2;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// It needs this key of the deployment.
    Kid(Kid),
    Legacy,
    /// Its data key is not there.
    NoDataKey,
}

#[derive(Default)]
struct Count {
    rows: u64,
    opened: u64,
}

/// Fails if the keys are not those of the rows.
pub async fn check(connection: &dyn Rows, ring: &WrappingKeys, first: &Page) -> Result<()> {
    let mut groups: BTreeMap<Group, Count> = BTreeMap::new();
    let mut seen = HashSet::new();
    for page in pages(first) {
        let rows = retry(async || connection.read(&page).await).await?;
        let organizations = rows.iter().map(|row| row.organization_id);
        let data_keys = DataKeys::of(connection, Some(ring), organizations).await?;
        for row in rows {
            let context = RowContext {
                organization_id: row.organization_id,
                integration_id: row.id,
            };
            let Ok(config) = config::parse(&row.config) else {
                continue;
            };
            let form = form(&config);
            let group = match form {
                Form::V2(kid) => Group::Kid(kid),
                Form::V3(_) => match data_keys.named(row.organization_id, form) {
                    Some(named) => Group::Kid(named.wrapping_kid),
                    None => Group::NoDataKey,
                },
                Form::Legacy => Group::Legacy,
                _ => continue,
            };
            if seen.insert(row.id) {
                let count = groups.entry(group).or_default();
                count.rows += 1;
                count.opened += u64::from(data_keys.open(ring, context, &config).is_ok());
            }
        }
    }
    judge(&groups, ring)
}

fn judge(groups: &BTreeMap<Group, Count>, ring: &WrappingKeys) -> Result<()> {
    let rows: u64 = groups.values().map(|count| count.rows).sum();
    let opened: u64 = groups.values().map(|count| count.opened).sum();
    let suspect = groups.iter().find(|(group, count)| {
        // The row names a key of the ring. If none of its rows opens, the rows are damaged, or were put elsewhere.
        let is_here = matches!(group, Group::Kid(kid) if ring.kids().any(|known| known == *kid));
        let is_many = match group {
            // An organization's keys may have been deleted on purpose, those of most were not.
            Group::NoDataKey => count.rows * 2 > rows,
            _ => count.rows >= SUSPICIOUS && count.rows * 100 >= rows,
        };
        count.opened == 0 && (opened == 0 || (is_many && !is_here))
    });
    let Some((group, count)) = suspect else {
        return Ok(());
    };
    let sampled = count.rows;
    let (kind, message, hint) = match group {
        Group::Legacy => (
            ErrorKind::Key,
            format!("none of {sampled} sampled rows of the legacy form opens with these keys"),
            "give the key that they were sealed with in FALLBACK_ENCRYPTION_KEYS",
        ),
        Group::NoDataKey => (
            ErrorKind::Key,
            format!("the data keys of {sampled} sampled rows are not in the database"),
            "restore private.data_keys from a backup, unless `keytool delete-data-keys` deleted them",
        ),
        Group::Kid(kid) if ring.kids().any(|known| known == *kid) => (
            ErrorKind::Row,
            format!("none of {sampled} sampled rows that name key {kid} opens with it"),
            "check that this is the right database, and that no ids or organizations were changed in it",
        ),
        Group::Kid(kid) => (
            ErrorKind::Key,
            format!(
                "{sampled} sampled {} sealed with key {kid}, which is not among your keys",
                if sampled == 1 { "row is" } else { "rows are" }
            ),
            "if the worker seals with it, ENCRYPTION_KEY is wrong here; if it is an older one, add it to FALLBACK_ENCRYPTION_KEYS",
        ),
    };
    Err(Error::new(kind, message).hint(format!(
        "nothing was written; {hint}; --force continues with the other rows and leaves these as they are"
    )))
}

/// The first page, and pages spread over the ids of the scope. Ids that grow with time lie close together.
pub fn pages(first: &Page) -> impl Iterator<Item = Page> {
    let low = first.after.map_or(0, |id| id.as_u128());
    let high = first.until.map_or(u128::MAX, |id| id.as_u128());
    let first = Page {
        limit: ROWS,
        pending: false,
        ..first.clone()
    };
    let step = (high - low) / PLACES;
    (0..PLACES).map(move |place| Page {
        after: match place {
            0 => first.after,
            _ => Some(Uuid::from_u128(low + step * place)),
        },
        ..first.clone()
    })
}
