//! The page for a failed connection. The worker renders it, because it says what failed; the connect page is a static asset
//! (`worker/public/`).

use crate::error::Error;
use crate::http::{ContentType, Response};

const FAILURE: &str = include_str!("failure.html");

/// What happened, in our own words. The provider's text never appears here (threat model 10).
pub fn failure(error: &Error, request_id: &str) -> Response {
    let (status, code, message) = error.answer();
    let title = if code == "declined" {
        "Nothing was connected"
    } else {
        "The connection failed"
    };
    let mut sentence = message.to_owned();
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let body = FAILURE
        .replace("{{title}}", &escape(title))
        .replace("{{message}}", &escape(&format!("{sentence}.")))
        .replace("{{request_id}}", &escape(request_id));
    Response {
        status,
        ..Response::text(ContentType::Html, body)
    }
    .with_header("x-request-id", request_id.to_owned())
}

/// Escapes text for HTML, including attributes.
fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut escaped, c| {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                other => escaped.push(other),
            }
            escaped
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ClientError;

    #[test]
    fn the_failure_page_says_what_happened_and_under_which_id() {
        let page = failure(&ClientError::Declined.into(), "<id>");
        assert_eq!(page.status, 400);
        let body = page.body;
        assert!(
            body.contains("Access was declined at the provider; nothing was connected."),
            "{body}"
        );
        assert!(
            body.contains("&lt;id&gt;") && !body.contains("<id>") && !body.contains("{{"),
            "{body}"
        );
    }
}
