use std::rc::Rc;

use futures_util::future::{Either, select, try_join_all};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::pace::patiently;
use crate::database::{Page, Row, Rows};
use crate::error::Result;
use crate::progress::Progress;

/// How many pages each connection has under way: while one is sealed and written the next one is read.
const DEPTH: usize = 2;

/// Where a part of the table goes on; `None` when the part is done.
type Cursor = Mutex<Option<Next>>;

struct Next {
    page: Page,
    /// The last page had nothing to do. Then there is likely more of the kind, and it is cheaper to count it than to read it.
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
        while let Some(rows) = next(connection, cursor, progress).await? {
            progress.looked(rows.last().map_or(0, |last| last.looked.into()));
            each(connection, rows).await?;
        }
    }
    Ok(())
}

/// Reads the next page and moves the cursor behind it. On a failure the cursor stays exhausted: the whole pass fails.
async fn next(
    connection: &dyn Rows,
    cursor: &Cursor,
    progress: &Progress,
) -> Result<Option<Vec<Row>>> {
    let mut cursor = cursor.lock().await;
    let Some(Next { mut page, is_idle }) = cursor.take() else {
        return Ok(None);
    };
    while is_idle && page.current.is_some() {
        let look = patiently(async || connection.look(&page).await).await?;
        if look.unfinished > 0 {
            break;
        }
        progress.looked(look.looked);
        let Some(last) = look.last else {
            return Ok(None);
        };
        page.after = Some(last);
    }
    let rows = patiently(async || connection.page(&page).await).await?;
    let Some(last) = rows.last() else {
        return Ok(None);
    };
    page.after = Some(last.id);
    let is_idle = rows.iter().all(|row| row.config.is_none());
    *cursor = Some(Next { page, is_idle });
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
