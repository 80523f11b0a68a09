//! Fetches a list to its end.

use crate::db::lists::{self, Next, Paging};
use crate::error::{Error, Result};
use crate::host;
use crate::http::HttpRequest;

/// Fetches the pages of a list with the user's own token. Returns whether there are more than were fetched.
pub async fn pages(
    what: &str,
    request: impl Fn(usize) -> HttpRequest,
) -> Result<(Vec<String>, bool)> {
    let (mut pages, mut paging, mut offset) = (Vec::new(), Paging::default(), 0);
    loop {
        let answer = host::send(&request(offset))
            .await
            .map_err(|error| Error::no_answer(what, error))?;
        let listed = lists::read_list(answer.status(), answer.is_json(), answer.content_range())?;
        if listed.beyond {
            return Ok((pages, false));
        }
        pages.push(answer.read().body);
        match paging.received(listed.rows, listed.count) {
            Next::Page(next) => offset = next,
            Next::End => return Ok((pages, false)),
            Next::TooMany => return Ok((pages, true)),
        }
    }
}
