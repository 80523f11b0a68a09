//! Origins in settings. The `url` crate parses them as browsers and the runtime do.

use url::{Host, Url};

/// Parses an origin without path, query or user. Returns it as browsers write it (`https://edge.example`): the host in lower case and in
/// punycode, without the default port. It is https, or for development http on this machine.
pub fn parse_origin(text: &str) -> Option<String> {
    // The parser repairs malformed URLs (`https:/x`). In a setting they are a mistake.
    let is_url = has_authority(text) && !text.contains(['@', '?', '#', '\\']);
    let url = Url::parse(text)
        .ok()
        .filter(|url| is_url && url.path() == "/")?;
    is_secure(&url).then(|| url.origin().ascii_serialization())
}

/// Whether it begins with one of our schemes, in any case, two slashes, and a host.
fn has_authority(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with('/'))
}

/// Secrets are sent over https only, or over http to this machine.
fn is_secure(url: &Url) -> bool {
    let is_here = || url.host().is_some_and(|host| is_loopback(&host));
    url.scheme() == "https" || url.scheme() == "http" && is_here()
}

pub fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.octets() == [127, 0, 0, 1],
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_https_or_this_machine() {
        for wrong in [
            "",
            "edge.example",
            "http://edge.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "https://",
            "https:///x",
            "https:edge.example",
            "https:/edge.example",
            "https:\\\\edge.example",
            "https://edge.example\\",
            "https://edge.example/path",
            "https://edge.example//",
            "https://@edge.example",
            "https://user@edge.example",
            "https://edge.example?",
            "https://edge.example#",
            "https://edge.example?x",
            "https://edge.example:65536",
            "https://ed ge.example",
            "ftp://localhost",
        ] {
            assert_eq!(parse_origin(wrong), None, "{wrong}");
        }
    }

    // threat model 126: browsers send the canonical Origin.
    #[test]
    fn reads_an_origin_in_the_form_that_browsers_send() {
        for (text, canonical) in [
            ("https://edge.example", "https://edge.example"),
            ("https://edge.example/", "https://edge.example"),
            ("https://edge.example:443", "https://edge.example"),
            ("https://edge.example:0443/", "https://edge.example"),
            ("https://edge.example:", "https://edge.example"),
            ("https://edge.example:8443", "https://edge.example:8443"),
            ("https://Connect.Example.COM", "https://connect.example.com"),
            ("HTTPS://edge.example", "https://edge.example"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://localhost:80", "http://localhost"),
            ("http://LOCALHOST:3000", "http://localhost:3000"),
            ("http://127.1:3000", "http://127.0.0.1:3000"),
            ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(parse_origin(text).as_deref(), Some(canonical), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn an_origin_that_is_read_is_its_own_canonical_form(text in "(https?|HTTPS|ftp):/{0,3}(localhost|[a-zA-Z0-9.ä:@-]{0,20})(:[0-9]{0,5})?[/?#\\\\]{0,2}") {
            if let Some(origin) = parse_origin(&text) {
                let parsed = Url::parse(&origin).unwrap();
                proptest::prop_assert_eq!(parsed.origin().ascii_serialization(), &*origin);
                proptest::prop_assert_eq!(parsed.as_str().strip_suffix('/'), Some(&*origin));
                proptest::prop_assert_eq!(parse_origin(&origin), Some(origin));
            }
        }
    }
}
