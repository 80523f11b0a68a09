//! Where webhooks may be sent: to the public internet by https, never to a machine that only we can reach.
//!
//! The URL parser is the same as the runtime's, and its canonical form is stored and fetched. A public name may still resolve to a private
//! address; Cloudflare sends a worker's requests to the public internet whatever a name resolves to.

use crate::error::{ClientError, Error};
use crate::http::url::is_loopback;
use std::net::{Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// The longest URL of a receiver, in bytes.
pub const URL_MAX: usize = 2048;

/// Checks a receiver's URL and returns its canonical form, with an internationalized host in punycode. With `loopback`, for development, this
/// machine is allowed too, also by http.
pub fn check(url: &str, loopback: bool) -> Result<String, Error> {
    canonical(url, loopback).ok_or(Error::Client(ClientError::BadUrl))
}

fn canonical(text: &str, loopback: bool) -> Option<String> {
    // The parser silently drops or rewrites these. Their author means something else, or wants to be misread.
    let is_misleading = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '#');
    if text.len() > URL_MAX || text.contains(is_misleading) {
        return None;
    }
    let rest = text
        .strip_prefix("https://")
        .or(text.strip_prefix("http://"))?;
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    // No user name, and no percent-encoded host.
    if authority.is_empty() || authority.contains(['@', '%']) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host()?;
    // An IPv4 address has many spellings (`127.1`, `0x7f.1`, `①②⑦.0.0.1`). Only four plain decimals are accepted.
    if let Host::Ipv4(address) = host
        && authority.split(':').next() != Some(&*address.to_string())
    {
        return None;
    }
    let is_acceptable = loopback && is_loopback(&host)
        || url.scheme() == "https" && is_acceptable_port(url.port()) && is_public(&host);
    (is_acceptable && url.as_str().len() <= URL_MAX).then(|| url.into())
}

/// 443, and ports above those of system services: mail servers and the like must not get webhooks.
fn is_acceptable_port(port: Option<u16>) -> bool {
    port.is_none_or(|port| port > 1023)
}

fn is_public(host: &Host<&str>) -> bool {
    match *host {
        Host::Domain(name) => is_public_name(name),
        Host::Ipv4(address) => is_public_v4(address),
        Host::Ipv6(address) => is_public_v6(address),
    }
}

/// Names that no public machine has (RFC 6761, 6762, 8375; `.internal` is ICANN's for private use).
const PRIVATE_SUFFIXES: [&str; 9] = [
    "localhost",
    "local",
    "internal",
    "home.arpa",
    "localdomain",
    "lan",
    "intranet",
    "invalid",
    "onion",
];

/// A name of at least two labels. The parser has made it lower-case punycode.
fn is_public_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let is_private = PRIVATE_SUFFIXES.iter().any(|suffix| {
        host.strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    host.len() <= 253 && host.contains('.') && host.split('.').all(is_label) && !is_private
}

/// Not in a special-purpose block (RFC 6890 and its registry).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

/// In 2000::/3, which is public, but not in its special-purpose blocks, nor in those that embed an IPv4 address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    (0x2000..=0x3fff).contains(&a)
        // Protocol assignments (Teredo and others), documentation, 6to4.
        && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8))
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_receiver_is_public_and_https() {
        for right in [
            "https://example.com",
            "https://hooks.example.com/a/b?c=d&e=%20f",
            "https://example.com:443/",
            "https://example.com:8443/x",
            "https://xn--bcher-kva.example/",
            "https://under_score.example.com/",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
            "https://[2606:4700::1111]:8443",
            "https://my-local.example/",
            "https://localhost.example.com/",
            "https://example.com/@user",
        ] {
            assert!(canonical(right, false).is_some(), "{right}");
        }
    }

    // threat model 121
    #[test]
    fn what_is_fetched_is_the_canonical_form() {
        for (text, expected) in [
            (
                "https://bücher.example/hook",
                "https://xn--bcher-kva.example/hook",
            ),
            (
                "https://BÜCHER.example/ä?ö=1",
                "https://xn--bcher-kva.example/%C3%A4?%C3%B6=1",
            ),
            ("https://пример.рф/", "https://xn--e1afmkfd.xn--p1ai/"),
            ("https://Hooks.Example.com", "https://hooks.example.com/"),
            ("https://example。com/", "https://example.com/"),
            ("https://example.com:443/a/../b", "https://example.com/b"),
            ("https://example.com:/", "https://example.com/"),
            ("https://example.com:0443/", "https://example.com/"),
            (
                "https://[2606:4700:0:0::1111]/",
                "https://[2606:4700::1111]/",
            ),
        ] {
            assert_eq!(canonical(text, false).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_private_or_no_address_is_refused() {
        let long = format!("https://example.com/{}", "x".repeat(URL_MAX));
        let label = format!("https://{}.example/", "x".repeat(64));
        for wrong in [
            "",
            "https://",
            "https:///x",
            "https:example.com",
            "https:\\\\example.com",
            "http://example.com/",
            "HTTPS://example.com/",
            "ftp://example.com/",
            "wss://example.com/",
            "javascript:alert(1)",
            " https://example.com",
            "https://example.com/ ",
            "https://example.com/\n",
            "https://exam\tple.com/",
            "https://example.com/#x",
            "https://example.com\\@10.0.0.1/",
            "https://user@example.com/",
            "https://user:secret@example.com/",
            "https://example.com@10.0.0.1/",
            "https://ex%61mple.com/",
            "https://①②⑦.0.0.1/",
            "https://ｌｏｃａｌｈｏｓｔ/",
            "https://printer.ｌｏｃａｌ/",
            "https://metadata.google.ｉnternal/",
            "https://xn--a/",
            "https://xn--a.example/",
            "https://a\u{202e}b.example/",
            "https://@example.com/",
            "https://example/",
            "https://example.com./",
            "https://.example.com/",
            "https://a..example.com/",
            "https://-a.example.com/",
            "https://example.com:80/",
            "https://example.com:22/",
            "https://example.com:65536/",
            "https://example.com:+443/",
            "https://example.com:443:443/",
            "https://localhost/",
            "https://LOCALHOST:8443/",
            "https://a.localhost/",
            "https://printer.local/",
            "https://metadata.google.internal/",
            "https://router.home.arpa/",
            "https://0.0.0.0/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://127.0.0.1./",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0X7F.1/",
            "https://0x/",
            "https://017700000001/",
            "https://0177.0.0.1/",
            "https://8.8.8.08/",
            "https://8.8.8/",
            "https://8.8.8.8.8/",
            "https://1.2.3.256/",
            "https://example.1/",
            "https://example.0x1/",
            "https://10.1.2.3/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest",
            "https://172.16.0.1/",
            "https://172.31.255.255/",
            "https://192.0.0.1/",
            "https://192.0.2.1/",
            "https://192.88.99.1/",
            "https://192.168.1.1/",
            "https://198.18.0.1/",
            "https://198.51.100.1/",
            "https://203.0.113.1/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://[::]/",
            "https://[::1]/",
            "https://[::ffff:8.8.8.8]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::8.8.8.8]/",
            "https://[64:ff9b::808:808]/",
            "https://[fc00::1]/",
            "https://[fd12:3456::1]/",
            "https://[fe80::1]/",
            "https://[fe80::1%25eth0]/",
            "https://[fec0::1]/",
            "https://[ff02::1]/",
            "https://[2001::1]/",
            "https://[2001:db8::1]/",
            "https://[2002:7f00:1::]/",
            "https://[3fff::1]/",
            "https://[2606:4700::1111/",
            "https://2606:4700::1111]/",
            "https://[2606:4700::1111]x/",
            "https://[example.com]/",
            "https://[2606:4700::1111]].example.com/",
            &long,
            &label,
        ] {
            assert!(canonical(wrong, false).is_none(), "{wrong:.60}");
        }
    }

    #[test]
    fn this_machine_is_a_receiver_where_development_says_so() {
        for url in [
            "http://localhost:4000/hook",
            "http://127.0.0.1:4000/hook",
            "http://[::1]:4000/",
            "https://localhost/",
        ] {
            assert!(canonical(url, true).is_some(), "{url}");
            assert!(canonical(url, false).is_none(), "{url}");
        }
        for url in [
            "http://example.com/",
            "http://10.0.0.1/",
            "http://localhost.example.com/",
            "http://localhost@example.com/",
            "http://127.0.0.2/",
            "http://127.1/",
            "https://192.168.0.1/",
        ] {
            assert!(canonical(url, true).is_none(), "{url}");
        }
    }

    /// Hosts that are almost addresses, almost names, and everything in between.
    fn host() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "[0-9]{1,4}",
            "0x[0-9a-f]{0,8}",
            "0[0-7]{1,11}",
            "[a-zA-Z0-9_-]{1,8}",
            "[①-⑨。ａ-ｚ％%@:]{1,2}",
            Just("localhost".to_owned()),
            Just(String::new()),
        ];
        let dotted = prop::collection::vec(part, 1..6).prop_map(|parts| parts.join("."));
        let v6 = any::<[u16; 8]>().prop_map(|segments| format!("[{}]", Ipv6Addr::from(segments)));
        let mapped =
            any::<[u8; 4]>().prop_map(|octets| format!("[::ffff:{}]", Ipv4Addr::from(octets)));
        let v4 = any::<[u8; 4]>().prop_map(|octets| Ipv4Addr::from(octets).to_string());
        prop_oneof![4 => dotted, 1 => v6, 1 => mapped, 1 => v4]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn what_is_accepted_leads_to_the_public_internet(
            host in host(), rest in "(:[0-9]{0,5})?([/?#\\\\@][ -~]{0,8})?",
        ) {
            let text = format!("https://{host}{rest}");
            if let Some(accepted) = canonical(&text, false) {
                let parsed = Url::parse(&accepted).unwrap();
                prop_assert_eq!(parsed.as_str(), &*accepted);
                prop_assert_eq!(parsed.scheme(), "https");
                prop_assert!(parsed.username().is_empty() && parsed.password().is_none());
                match parsed.host().unwrap() {
                    Host::Domain(name) => {
                        prop_assert!(name.contains('.') && name.is_ascii() && !name.ends_with(".localhost"));
                    }
                    Host::Ipv4(address) => {
                        prop_assert_eq!(address.to_string(), host);
                        prop_assert!(is_public_v4(address) && !address.is_private() && !address.is_loopback());
                        prop_assert!(!address.is_link_local() && !address.is_multicast() && !address.is_unspecified());
                    }
                    Host::Ipv6(address) => {
                        prop_assert!(is_public_v6(address) && address.to_ipv4().is_none());
                        prop_assert!(!address.is_unique_local() && !address.is_unicast_link_local());
                    }
                }
                let port = parsed.port_or_known_default().unwrap();
                prop_assert!(port == 443 || port > 1023);
                // The delivery checks the URL again, so the stored form must pass.
                prop_assert_eq!(canonical(&accepted, false), Some(accepted));
            }
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}") {
            let _ = canonical(&text, true);
        }
    }
}
