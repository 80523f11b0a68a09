//! The few questions about URLs that are asked here, without the weight of a URL parser in wasm (26 KB gzipped and more).

/// An origin as a setting gives it (`https://edge.example`, a trailing slash tolerated), without path, query or user: https,
/// or http on this very machine for development.
pub fn parse_origin(text: &str) -> Option<&str> {
    let origin = text.strip_suffix('/').unwrap_or(text);
    let authority = origin.split_once("://")?.1;
    let plain = !authority.is_empty()
        && authority
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    (plain && is_acceptable_base(origin)).then_some(origin)
}

/// Whether a URL is https, or http on localhost: secrets go to no other.
fn is_acceptable_base(url: &str) -> bool {
    if let Some(rest) = url.strip_prefix("https://") {
        return !rest.is_empty() && !rest.starts_with('/');
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    matches!(host, "localhost" | "127.0.0.1" | "::1")
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

/// A path with one more query parameter; the value is percent-encoded.
pub fn with_parameter(path: &str, name: &str, value: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    let pair = form_urlencoded::Serializer::new(String::new())
        .append_pair(name, value)
        .finish();
    format!("{path}{separator}{pair}")
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
    fn an_origin_is_https_or_this_machine() {
        assert_eq!(
            parse_origin("https://edge.example/"),
            Some("https://edge.example")
        );
        assert_eq!(
            parse_origin("http://localhost:3000"),
            Some("http://localhost:3000")
        );
        assert_eq!(parse_origin("http://[::1]:3000"), Some("http://[::1]:3000"));
        for wrong in [
            "",
            "edge.example",
            "http://edge.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "https://",
            "https:///x",
            "https://edge.example/path",
            "https://user@edge.example",
            "https://edge.example?x",
            "ftp://localhost",
        ] {
            assert_eq!(parse_origin(wrong), None, "{wrong}");
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
