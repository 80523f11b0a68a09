//! URLs that the settings give, and paths to return to. URLs are read by the `url` crate, which reads them as browsers and the runtime do.

use crate::error::{ClientError, Result};
pub use platform::origin::{is_loopback, parse_origin};
use url::Url;

/// An issuer as a setting gives it. Issuers are compared letter by letter (RFC 8414, 3.3; RFC 9207, 2.4), so it is not changed: None if it is
/// no URL in canonical form. A slash at its end is its own.
pub fn parse_issuer(text: &str) -> Option<&str> {
    let url = Url::parse(text).ok()?;
    let canonical = url.as_str();
    if !matches!(url.scheme(), "https" | "http") {
        return None;
    }
    let is_canonical = canonical == text || canonical.strip_suffix('/') == Some(text);
    let is_plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    (is_canonical && is_plain).then_some(text)
}

/// A path on our own origin to return to: `/`, then neither `/` nor a backslash, printable ASCII only, also once
/// percent-decoded; browsers read `//e`, `/\e` and `/<tab>/e` as another host.
pub fn parse_return_path(text: &str) -> Option<&str> {
    let decoded: Vec<u8> = percent_decode(text)?;
    let local = |bytes: &[u8]| {
        bytes.first() == Some(&b'/')
            && !matches!(bytes.get(1), Some(b'/' | b'\\'))
            && bytes.iter().all(|&b| b != b'\\' && !b.is_ascii_control())
    };
    let printable = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    (text.len() <= 512 && printable && local(text.as_bytes()) && local(&decoded)).then_some(text)
}

/// The path that a client asks to be redirected to in the end, `/` by default. It is always on this site.
pub fn return_path(return_to: Option<&str>) -> Result<&str> {
    let path = parse_return_path(return_to.unwrap_or("/"));
    path.ok_or(
        ClientError::Invalid("return_to must be a path of this site, such as /settings").into(),
    )
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

/// A URL of a backend to return to from a connect session: absolute, with one of these origins, without user and fragment, and without the
/// parameters that we add.
pub fn parse_return_url(text: &str, origins: &[String]) -> Option<Url> {
    // The parser's text is stored. It percent-encodes, so it may be longer.
    let url = Url::parse(text).ok()?;
    let is_short = text.len() <= 2048 && url.as_str().len() <= 2048;
    // An origin of the settings is https, or http on this very machine.
    let is_known = origins.contains(&url.origin().ascii_serialization());
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && !text.contains(['@', '#', '\\']);
    let mut names = url.query_pairs().map(|(name, _)| name);
    let is_free = !names.any(|name| ["session", "code", "error", "state"].contains(&&*name));
    (is_short && is_known && is_plain && is_free).then_some(url)
}

/// A path with one more query parameter; the value is percent-encoded.
pub fn with_parameter(path: &str, name: &str, value: &str) -> String {
    with_parameters(path, &[(name, value)])
}

/// A path, or a URL without fragment, with further query parameters; their values are percent-encoded.
pub fn with_parameters(path: &str, pairs: &[(&str, &str)]) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{}", form(pairs))
}

/// An `application/x-www-form-urlencoded` string of these pairs.
pub fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_issuer_only_in_canonical_form() {
        for right in [
            "https://p.supabase.co/auth/v1",
            "https://login.example",
            "https://login.example/",
            "https://login.example:8443/tenant/",
            "http://localhost:54321/auth/v1",
            "http://kong:8000/auth/v1",
        ] {
            assert_eq!(parse_issuer(right), Some(right));
        }
        for wrong in [
            "",
            "login.example",
            "https://Login.example",
            "https://login.example:443",
            "https://login.example:443/",
            "HTTPS://login.example/",
            "https://login.example/a/../b",
            "https://bücher.example",
            "https://login.example/?x",
            "https://login.example/#x",
            "https://user@login.example/",
            "http://localhost:80/",
            "ftp://login.example/",
            "urn:login",
        ] {
            assert_eq!(parse_issuer(wrong), None, "{wrong}");
        }
    }

    // threat model 8
    #[test]
    fn only_a_path_of_our_own_is_returned_to() {
        for right in [
            "/",
            "/settings",
            "/settings?tab=integrations&x=%20",
            "/a/b//c",
        ] {
            assert_eq!(parse_return_path(right), Some(right));
        }
        for wrong in [
            "",
            "e",
            "//e",
            "/\\e",
            "/%09/e",
            "/\t/e",
            "/%5ce",
            "/%2fe",
            "/%0d%0aSet-Cookie:x",
            "https:e",
            "https://e",
            "javascript:x",
            "https://a@e",
            "/a#b",
            "/ä",
            "/%",
            "/%zz",
            "/x\\y",
        ] {
            assert_eq!(parse_return_path(wrong), None, "{wrong:?}");
        }
        assert_eq!(parse_return_path(&format!("/{}", "x".repeat(512))), None);
    }

    #[test]
    fn a_return_url_has_a_known_origin_and_nothing_hidden() {
        let origins = [
            "https://app.example".to_owned(),
            "http://localhost:4000".to_owned(),
        ];
        let parse = |text: &str| parse_return_url(text, &origins).map(String::from);
        for (right, read) in [
            ("https://app.example", "https://app.example/"),
            ("https://app.example/a?x=1", "https://app.example/a?x=1"),
            ("HTTPS://APP.example:443/a", "https://app.example/a"),
            ("http://localhost:4000/done", "http://localhost:4000/done"),
        ] {
            assert_eq!(parse(right).as_deref(), Some(read));
        }
        for wrong in [
            "",
            "/a",
            "//app.example/a",
            "http://app.example/a",
            "https://app.example:8443/a",
            "https://app.example.evil/a",
            "https://evil.example/https://app.example",
            "https://app.example@evil.example/",
            "https://user@app.example/",
            "https://user:x@app.example/",
            "https://@app.example/",
            "https://app.example/a#b",
            "https://app.example/a#",
            "https:\\\\app.example\\a",
            "https://app.example\\.evil.example/",
            "http://localhost:4001/done",
            "http://localhost/done",
            "javascript:alert(1)//https://app.example",
            "data:text/html,https://app.example",
            "https://app.example/a?code=1",
            "https://app.example/a?x=1&state=2",
            &format!("https://app.example/{}", "x".repeat(2048)),
            &format!("https://app.example/{}", "ä".repeat(1000)),
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_parameter_joins_what_is_there() {
        assert_eq!(with_parameter("/", "connected", "a b"), "/?connected=a+b");
        assert_eq!(
            with_parameter("/?x=1", "connected", "y"),
            "/?x=1&connected=y"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_return_path_leaves_the_origin(text in "\\PC{0,40}") {
            if let Some(path) = parse_return_path(&text) {
                proptest::prop_assert!(path.starts_with('/') && !path.starts_with("//") && !path.contains('\\'));
            }
        }
    }
}
