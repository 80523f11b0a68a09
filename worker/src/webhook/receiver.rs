//! Where a webhook may be sent: to the public internet by https, never to a machine that only we can reach.
//!
//! Everything is refused that the runtime's URL parser might read otherwise than it is written here: it takes `http://0x7f.1`,
//! `http://2130706433` and `http://①②⑦.0.0.1` for 127.0.0.1. A public name may still lead to a private address; on Cloudflare a
//! worker's requests go to the public internet whatever a name resolves to.

use crate::error::{Error, Refusal};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest URL of a receiver, in bytes.
pub const URL_MAX: usize = 2048;

/// Checks a receiver's URL. With `loopback`, for development, this very machine is a receiver too, also by http.
pub fn check(url: &str, loopback: bool) -> Result<(), Error> {
    is_acceptable(url, loopback)
        .then_some(())
        .ok_or(Error::Caller(Refusal::BadUrl))
}

fn is_acceptable(url: &str, loopback: bool) -> bool {
    // What RFC 3986 lets stand in a URL, without fragment, user and backslash; the parser would rewrite or drop anything else.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?[]!$&'()*+,;=%".contains(&b);
    if url.len() > URL_MAX || !url.bytes().all(|b| plain(b) || b == b'@') {
        return false;
    }
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return false,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let Some((host, port)) = split_port(&rest[..end]) else {
        return false;
    };
    if loopback && matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return true;
    }
    secure && is_acceptable_port(port) && is_public_host(host)
}

/// The host and, if there is one, the port; None where the authority is anything but these two.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let host_end = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port))),
        None => rest.is_empty().then_some((host, None)),
    }
}

/// 443 and what no service of the system listens on: mail and the like are not for webhooks.
fn is_acceptable_port(port: Option<&str>) -> bool {
    let Some(text) = port else { return true };
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    digits
        && text
            .parse::<u16>()
            .is_ok_and(|port| port == 443 || port > 1023)
}

fn is_public_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.trim_end_matches(']').parse();
        return address.is_ok_and(is_public_v6);
    }
    // The parser takes a host whose last label is a number, in whatever spelling, for an IPv4 address.
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last
        .strip_prefix("0x")
        .or_else(|| last.strip_prefix("0X"))
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if hex || last.bytes().all(|b| b.is_ascii_digit()) {
        // The one spelling with a single meaning: four decimals without leading zeros.
        return host.parse().is_ok_and(is_public_v4);
    }
    is_public_name(host)
}

/// Names under which no public machine is found (RFC 6761, 6762, 8375; `.internal` is ICANN's for private use).
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

/// A name of at least two labels, in ASCII: others are written in punycode.
fn is_public_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let lower = host.to_ascii_lowercase();
    let is_private = PRIVATE_SUFFIXES.iter().any(|suffix| {
        lower
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    host.len() <= 253 && host.contains('.') && host.split('.').all(is_label) && !is_private
}

/// Not one of the special-purpose blocks (RFC 6890 and its registry).
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

/// Of what is given out to the public (2000::/3), not the blocks with another purpose, nor those that carry an IPv4 address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    (0x2000..=0x3fff).contains(&a)
        // Protocols (Teredo and others), documentation, 6to4.
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
            assert!(is_acceptable(right, false), "{right}");
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
            "https://exämple.com/",
            "https://①②⑦.0.0.1/",
            "https://example。com/",
            "https://example/",
            "https://example.com./",
            "https://.example.com/",
            "https://a..example.com/",
            "https://-a.example.com/",
            "https://example.com:/",
            "https://example.com:80/",
            "https://example.com:22/",
            "https://example.com:0443/",
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
            assert!(!is_acceptable(wrong, false), "{wrong:.60}");
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
            assert!(is_acceptable(url, true), "{url}");
            assert!(!is_acceptable(url, false), "{url}");
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
            assert!(!is_acceptable(url, true), "{url}");
        }
    }

    /// Hosts that are nearly addresses, nearly names, and all in between.
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

        // The parser of the runtime and the one here must mean the same host.
        #[test]
        fn what_is_accepted_is_what_a_url_parser_reads(
            host in host(), rest in "(:[0-9]{0,5})?([/?#\\\\@][ -~]{0,8})?",
        ) {
            let text = format!("https://{host}{rest}");
            if is_acceptable(&text, false) {
                let parsed = url::Url::parse(&text);
                prop_assert!(parsed.is_ok(), "{text}");
                let parsed = parsed.unwrap();
                prop_assert_eq!(parsed.scheme(), "https");
                prop_assert!(parsed.username().is_empty() && parsed.password().is_none());
                match parsed.host().unwrap() {
                    url::Host::Domain(name) => prop_assert_eq!(name, host.to_ascii_lowercase()),
                    url::Host::Ipv4(address) => {
                        prop_assert_eq!(address.to_string(), host);
                        prop_assert!(is_public_v4(address) && !address.is_private() && !address.is_loopback());
                        prop_assert!(!address.is_link_local() && !address.is_multicast() && !address.is_unspecified());
                    }
                    url::Host::Ipv6(address) => {
                        prop_assert!(is_public_v6(address) && address.to_ipv4().is_none());
                        prop_assert!(!address.is_unique_local() && !address.is_unicast_link_local());
                    }
                }
                let port = parsed.port_or_known_default().unwrap();
                prop_assert!(port == 443 || port > 1023);
            }
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}") {
            let _ = is_acceptable(&text, true);
        }
    }
}
