use std::rc::Rc;

use futures_util::future::{Either, select, try_join_all};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::opening::Opening;
use super::scope::Scope;
use super::throttle::Throttle;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::session::Session;
use crate::store::retry::retry;
use crate::store::{Function, Page, Row, Rows};

/// The number of pages in flight on each connection: one is sealed while the next is read.
const PAGES_PER_CONNECTION: usize = 2;

/// The next page of a part of the table. `None`: the part is done.
type Cursor = Mutex<Option<Page>>;

/// Calls `each` with every row of the scope once, page by page. In a rotation, which has a throttle, only with the rows that it has to reseal.
///
/// Each connection starts with its own part of the ids and reads it page by page. A connection that is done takes pages of other parts,
/// so the distribution of the ids does not matter.
///
/// If `each` opens rows, `opening` records it first.
pub async fn scan(
    session: &Session,
    phase: &'static str,
    opening: Option<&Opening>,
    scope: &Scope,
    rotation: Option<&Throttle>,
    each: impl AsyncFn(&dyn Rows, Vec<Row>) -> Result<()>,
) -> Result<()> {
    let progress = &session.progress;
    let estimate = if scope.is_everything() {
        estimate(session, rotation.is_some()).await
    } else {
        None
    };
    progress.phase(phase, estimate, rotation.is_some());
    let first = Page {
        limit: rotation.map_or(session.batch, |throttle| throttle.limit(session.batch)),
        pending: rotation.is_some(),
        ..scope.start()
    };
    let cursors: Vec<Cursor> = parts(&first, session.connections.len())
        .map(|page| Mutex::new(Some(page)))
        .collect();
    let workers = session
        .connections
        .iter()
        .enumerate()
        .flat_map(|(own, connection)| {
            let (others, own) = cursors.split_at(own);
            let worker = (own, others, connection);
            std::iter::repeat_n(worker, PAGES_PER_CONNECTION)
        })
        .map(|(own, others, connection)| {
            work(
                connection,
                own.iter().chain(others),
                progress,
                opening,
                &each,
            )
        });
    let watch = async {
        match rotation {
            Some(throttle) => throttle.watch(session.connection()).await,
            None => std::future::pending().await,
        }
    };
    let meanwhile = std::pin::pin!(futures_util::future::join(progress.show(), watch));
    let outcome = match select(std::pin::pin!(try_join_all(workers)), meanwhile).await {
        Either::Left((outcome, _)) => outcome.map(drop),
        Either::Right((_, workers)) => workers.await.map(drop),
    };
    progress.finish();
    outcome
}

/// The planner's estimate of the number of rows, for the progress bar.
async fn estimate(session: &Session, pending: bool) -> Option<u64> {
    let load = session.connection().call(Function::RewrapLoad).await.ok()?;
    let name = if pending {
        "estimated_pending"
    } else {
        "estimated_rows"
    };
    load[name].as_u64()
}

async fn work<'a>(
    connection: &Rc<dyn Rows>,
    cursors: impl Iterator<Item = &'a Cursor>,
    progress: &Progress,
    opening: Option<&Opening>,
    each: &impl AsyncFn(&dyn Rows, Vec<Row>) -> Result<()>,
) -> Result<()> {
    for cursor in cursors {
        while let Some(rows) = next(&**connection, cursor).await? {
            progress.ensure_not_stopped()?;
            progress.scanned(rows.len() as u64);
            if let Some(opening) = opening {
                let organizations = rows.iter().map(|row| row.organization_id);
                opening.record(&**connection, organizations).await?;
            }
            each(&**connection, rows).await?;
        }
    }
    Ok(())
}

/// Reads the next page and moves the cursor past it. If the read fails, the cursor stays exhausted and the whole scan fails.
async fn next(connection: &dyn Rows, cursor: &Cursor) -> Result<Option<Vec<Row>>> {
    let mut cursor = cursor.lock().await;
    let Some(page) = cursor.take() else {
        return Ok(None);
    };
    let rows = retry(async || connection.read(&page).await).await?;
    let Some(last) = rows.last() else {
        return Ok(None);
    };
    ensure_next(&page, &rows)?;
    *cursor = Some(Page {
        after: Some(last.id),
        ..page
    });
    Ok(Some(rows))
}

/// Rejects a page that was not asked for: it would be read again and again.
fn ensure_next(page: &Page, rows: &[Row]) -> Result<()> {
    let ids = page.after.into_iter().chain(rows.iter().map(|row| row.id));
    let is_within = |row: &Row| page.until.is_none_or(|until| row.id <= until);
    if ids.is_sorted_by(|one, other| one < other)
        && rows.iter().all(is_within)
        && rows.len() <= page.limit.into()
    {
        return Ok(());
    }
    let message = "the database answers rows that are not the next ones";
    Err(Error::new(ErrorKind::Database, message)
        .hint("is it the right database, and are its migrations those of this version?"))
}

/// Splits the ids between the page's ends into equal parts.
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

    fn row(id: u128) -> Row {
        Row {
            id: Uuid::from_u128(id),
            organization_id: Uuid::from_u128(1),
            config: "{}".into(),
            version: "1".into(),
        }
    }

    /// Threat model 109.
    #[test]
    fn a_page_is_the_next_one_and_no_longer_than_asked_for() {
        let page = Page {
            after: Some(Uuid::from_u128(5)),
            until: Some(Uuid::from_u128(9)),
            limit: 3,
            ..Page::default()
        };
        for ids in [&[][..], &[6], &[6, 9], &[7, 8, 9]] {
            let rows: Vec<Row> = ids.iter().copied().map(row).collect();
            ensure_next(&page, &rows).unwrap();
        }
        for ids in [&[5][..], &[4], &[10], &[7, 7], &[7, 6], &[6, 7, 8, 9]] {
            let rows: Vec<Row> = ids.iter().copied().map(row).collect();
            assert!(ensure_next(&page, &rows).is_err(), "{rows:?}");
        }
    }

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
