use std::rc::Rc;

use futures_util::future::{Either, select, try_join_all};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::pace::patiently;
use crate::database::{Page, Row, Rows};
use crate::error::{Blame, Error, Result};
use crate::progress::Progress;

/// How many pages each connection has under way: while one is sealed and written the next one is read.
const DEPTH: usize = 2;

/// How many rows are looked at at once where none needs anything: they do not travel.
const IDLE: u16 = 50_000;

/// Where a part of the table goes on; `None` when the part is done.
type Cursor = Mutex<Option<Next>>;

struct Next {
    page: Page,
    /// The last page had nothing to do, so there is likely more of the kind.
    is_idle: bool,
}

/// Looks at every row from the first page on, once.
///
/// Each connection begins with a part of the ids of its own, in pages that are read one after the other, each where the last one
/// ended. Whoever is done helps with the other parts, so that it does not matter how ids are spread. `meanwhile` runs
/// beside it and never ends by itself.
pub async fn pass(
    connections: &[Rc<dyn Rows>],
    first: Page,
    progress: &Progress,
    each: impl AsyncFn(&dyn Rows, Vec<Row>) -> Result<()>,
    meanwhile: impl Future<Output = ()>,
) -> Result<()> {
    let cursors: Vec<Cursor> = parts(&first, connections.len())
        .map(|page| {
            let is_idle = false;
            Mutex::new(Some(Next { page, is_idle }))
        })
        .collect();
    let slots = connections
        .iter()
        .enumerate()
        .flat_map(|(own, connection)| {
            let (others, own) = cursors.split_at(own);
            let slot = (own, others, connection);
            std::iter::repeat_n(slot, DEPTH).map(|(own, others, connection)| {
                let cursors = own.iter().chain(others);
                work(&**connection, cursors, progress, &each)
            })
        });
    let slots = std::pin::pin!(try_join_all(slots));
    match select(slots, std::pin::pin!(meanwhile)).await {
        Either::Left((outcome, _)) => outcome.map(drop),
        Either::Right(((), slots)) => slots.await.map(drop),
    }
}

async fn work<'a>(
    connection: &dyn Rows,
    cursors: impl Iterator<Item = &'a Cursor>,
    progress: &Progress,
    each: &impl AsyncFn(&dyn Rows, Vec<Row>) -> Result<()>,
) -> Result<()> {
    for cursor in cursors {
        while let Some(rows) = next(connection, cursor).await? {
            progress.looked(rows.last().map_or(0, |last| last.looked.into()));
            each(connection, rows).await?;
        }
    }
    Ok(())
}

/// A page that is none of those asked for would be read again and again.
fn no_progress() -> Error {
    let message = "the database answers rows that are not the next ones";
    Error::new(Blame::Database, message)
        .hint("is it the right database, and are its migrations those of this version?")
}

/// Reads the next page and moves the cursor behind it. On a failure the cursor stays exhausted: the whole pass fails.
async fn next(connection: &dyn Rows, cursor: &Cursor) -> Result<Option<Vec<Row>>> {
    let mut cursor = cursor.lock().await;
    let Some(mut next) = cursor.take() else {
        return Ok(None);
    };
    let page = Page {
        look: next.is_idle.then_some(IDLE),
        ..next.page.clone()
    };
    let rows = patiently(async || connection.page(&page).await).await?;
    let Some(last) = rows.last() else {
        return Ok(None);
    };
    let ids = page.after.into_iter().chain(rows.iter().map(|row| row.id));
    let is_within = page.until.is_none_or(|until| last.id <= until);
    if !ids.is_sorted_by(|one, other| one < other) || !is_within {
        return Err(no_progress());
    }
    next.page.after = Some(last.id);
    next.is_idle = rows.iter().all(|row| row.config.is_none());
    *cursor = Some(next);
    Ok(Some(rows))
}

/// Equal parts of the ids between the page's ends.
fn parts(first: &Page, of: usize) -> impl Iterator<Item = Page> {
    let low = first.after.map_or(0, |id| id.as_u128());
    let high = first.until.map_or(u128::MAX, |id| id.as_u128());
    let step = (high - low) / of as u128;
    (0..of).map(move |part| Page {
        after: match part {
            0 => first.after,
            _ => Some(Uuid::from_u128(low + step * part as u128)),
        },
        until: match part + 1 {
            last if last == of => first.until,
            next => Some(Uuid::from_u128(low + step * next as u128)),
        },
        ..first.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_every_id_once() {
        let ends = [
            None,
            Some(Uuid::from_u128(5)),
            Some(Uuid::from_u128(u128::MAX / 3)),
        ];
        for (after, until) in ends
            .into_iter()
            .flat_map(|after| ends.map(|until| (after, until)))
        {
            if until.is_some() && until <= after {
                continue;
            }
            let first = Page {
                after,
                until,
                ..Page::default()
            };
            for of in [1, 2, 3, 32] {
                let parts: Vec<Page> = parts(&first, of).collect();
                assert_eq!(
                    (parts.len(), parts[0].after, parts[of - 1].until),
                    (of, after, until)
                );
                assert!(parts.windows(2).all(|pair| pair[0].until == pair[1].after));
            }
        }
    }
}
