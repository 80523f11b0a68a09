//! Fetches one page of a list by its cursor. `pages` fetches a list to its end.

use crate::db::cursor::Keyed;
use crate::db::rows;
use crate::error::{Error, Result};
use crate::host;
use crate::http::HttpRequest;
use serde::de::DeserializeOwned;

/// The rows of a page and the cursor of the next one. `request` builds the request for so many rows that a filter lets through.
pub async fn page<T: Keyed + DeserializeOwned>(
    what: &str,
    cursor: Option<&str>,
    limit: usize,
    request: impl Fn(&str, usize) -> HttpRequest,
) -> Result<(Vec<T>, Option<String>)> {
    let fetched = async |after: &str, limit| rows_of::<T>(what, &request(after, limit)).await;
    let after = cursor.map(T::after).transpose()?.unwrap_or_default();
    // One more than it holds tells whether there is a next one.
    let mut rows = fetched(&after, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let Some(last) = rows.last().map(Keyed::cursor) else {
        return Ok((rows, None));
    };
    // The project may answer fewer rows than it was asked for ("Max rows"), so only another request tells.
    let more = more || !fetched(&T::after(&last)?, 1).await?.is_empty();
    Ok((rows, more.then_some(last)))
}

/// The rows of one answer.
pub async fn rows_of<T: DeserializeOwned>(what: &str, request: &HttpRequest) -> Result<Vec<T>> {
    let answer = host::fetch(request)
        .await
        .map_err(|error| Error::no_answer(what, error))?;
    rows::read(&answer, what)
}
