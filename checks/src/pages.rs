//! Finds the URL of the next page of a list.

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use crate::entry::Pages;
use crate::template;

/// What follows a page.
pub(crate) enum Next {
    /// This was the last.
    End,
    /// Another URL.
    Url(String),
    /// The same URL with this `Range` header.
    Range(String),
    /// The answer does not say where the rest is.
    Lost,
}

/// The page after one with `items` items. `page` counts from 0.
pub(crate) fn next(
    pages: Option<&Pages>,
    url: &str,
    hosts: &[String],
    page: u32,
    items: usize,
    answer: (&Value, u16, &BTreeMap<String, String>),
) -> Next {
    let (json, status, headers) = answer;
    match pages {
        // 206: a part of the list.
        None if status == 206 => Next::Lost,
        None => Next::End,
        Some(Pages::Link) => match headers.get("link").map(|link| next_link(link)) {
            None => Next::End,
            // A next page that is not understood is not the end.
            Some(None) if headers["link"].contains("next") => Next::Lost,
            Some(None) => Next::End,
            Some(Some(next)) if next != url && template::is_allowed(next, hosts) => {
                Next::Url(next.to_owned())
            }
            Some(Some(_)) => Next::Lost,
        },
        Some(Pages::Cursor { at, param }) => match json.pointer(at) {
            Some(Value::Null) => Next::End,
            Some(Value::String(cursor)) if !cursor.is_empty() => with(url, param, cursor),
            Some(Value::Number(cursor)) => with(url, param, &cursor.to_string()),
            _ => Next::Lost,
        },
        Some(Pages::Page { .. }) if items == 0 => Next::End,
        Some(Pages::Page { param, first }) => with(url, param, &(first + page + 1).to_string()),
        Some(Pages::Range) => match (status, headers.get("next-range")) {
            (200, _) => Next::End,
            (206, Some(range)) => Next::Range(range.clone()),
            _ => Next::Lost,
        },
    }
}

/// The URL with the parameter set. The same URL again would go round in a circle.
fn with(url: &str, param: &str, value: &str) -> Next {
    let Ok(mut next) = Url::parse(url) else {
        return Next::Lost;
    };
    let kept: Vec<(String, String)> = next
        .query_pairs()
        .filter(|(name, _)| name != param)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    next.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair(param, value);
    if next.as_str() == url {
        Next::Lost
    } else {
        Next::Url(next.into())
    }
}

/// The target of `rel="next"` (RFC 8288).
fn next_link(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| {
            let parameter = parameter.trim();
            parameter == "rel=\"next\"" || parameter == "rel=next"
        };
        parameters.split(';').any(is_next).then_some(target)
    })
}
