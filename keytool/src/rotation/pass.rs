use std::rc::Rc;

use futures_util::future::{Either, select, try_join_all};
use tokio::sync::Mutex;

use super::pace::patiently;
use crate::database::{Page, Row, Rows};
use crate::error::Result;
use crate::progress::Progress;

/// How many pages each connection has under way: while one is sealed and written the next one is read.
const DEPTH: usize = 2;

/// Looks at every row from the first page on, once, in pages that several connections share.
///
/// The pages are read one after the other, each where the last one ended, so that no assumption is made on how ids are
/// spread. `meanwhile` runs beside it and never ends by itself.
pub async fn pass(
    connections: &[Rc<dyn Rows>],
    first: Page,
    progress: &Progress,
    each: impl AsyncFn(&dyn Rows, Vec<Row>) -> Result<()>,
    meanwhile: impl Future<Output = ()>,
) -> Result<()> {
    let cursor = Mutex::new(Some(first));
    let slots = connections.iter().flat_map(|connection| {
        std::iter::repeat_with(|| work(&**connection, &cursor, progress, &each)).take(DEPTH)
    });
    let slots = std::pin::pin!(try_join_all(slots));
    match select(slots, std::pin::pin!(meanwhile)).await {
        Either::Left((outcome, _)) => outcome.map(drop),
        Either::Right(((), slots)) => slots.await.map(drop),
    }
}

async fn work(
    connection: &dyn Rows,
    cursor: &Mutex<Option<Page>>,
    progress: &Progress,
    each: &impl AsyncFn(&dyn Rows, Vec<Row>) -> Result<()>,
) -> Result<()> {
    loop {
        let mut next = cursor.lock().await;
        let Some(page) = next.take() else {
            return Ok(());
        };
        let rows = patiently(async || connection.page(&page).await).await?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        *next = Some(Page {
            after: Some(last.id),
            ..page
        });
        drop(next);
        progress.looked(last.looked.into());
        each(connection, rows).await?;
    }
}
