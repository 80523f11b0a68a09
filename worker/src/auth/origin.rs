//! Cross-site request forgery: browsers send cookies with requests of other sites' pages, so a request that changes something and is
//! authenticated by a cookie must prove that our own page made it.

use crate::error::{ClientError, Result};
use crate::http::RequestHead;

/// Checks a request that is authenticated by a cookie: Origin must be exactly ours, and a body must be declared as JSON, which no form can
/// send.
pub fn check_from_cookie(head: &RequestHead, app_url: &str, has_body: bool) -> Result<()> {
    let ours = head.origin == app_url && matches!(head.fetch_site.as_str(), "" | "same-origin");
    if ours && (!has_body || head.is_json()) {
        Ok(())
    } else {
        Err(ClientError::CrossSite.into())
    }
}

/// Checks a request without credentials (a sign-in): if the browser names an origin, it must be ours. Otherwise another site could sign
/// its visitors in to a foreign account.
pub fn check_anonymous(head: &RequestHead, app_url: &str) -> Result<()> {
    if head.origin.is_empty() && head.fetch_site.is_empty() {
        return if head.is_json() {
            Ok(())
        } else {
            Err(ClientError::MediaType.into())
        };
    }
    check_from_cookie(head, app_url, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "https://app.example";

    fn head(origin: &str, content_type: &str, fetch_site: &str) -> RequestHead {
        RequestHead {
            origin: origin.into(),
            content_type: content_type.into(),
            fetch_site: fetch_site.into(),
            ..RequestHead::default()
        }
    }

    // threat model 28
    #[test]
    fn only_our_own_page_may_use_the_cookie() {
        let json = "application/json";
        assert!(check_from_cookie(&head(APP, json, "same-origin"), APP, true).is_ok());
        assert!(check_from_cookie(&head(APP, "", ""), APP, false).is_ok());
        for (origin, content_type, site) in [
            ("", json, ""),
            ("null", json, ""),
            ("https://app.example.evil", json, ""),
            ("http://app.example", json, ""),
            ("https://app.example:8443", json, ""),
            (APP, "text/plain", "same-origin"),
            (APP, "application/x-www-form-urlencoded", "same-origin"),
            (APP, json, "cross-site"),
            (APP, json, "same-site"),
        ] {
            assert!(
                check_from_cookie(&head(origin, content_type, site), APP, true).is_err(),
                "{origin} {content_type} {site}"
            );
        }
    }

    #[test]
    fn a_sign_in_needs_no_origin_but_no_other_one() {
        assert!(check_anonymous(&head("", "application/json", ""), APP).is_ok());
        assert!(check_anonymous(&head("", "text/plain", ""), APP).is_err());
        assert!(
            check_anonymous(
                &head("https://evil.example", "application/json", "cross-site"),
                APP
            )
            .is_err()
        );
    }
}
