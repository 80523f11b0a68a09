//! The subjects whose attempts are counted: an account and a client's address, stored as keyed hashes.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sealed::{Key, Secret};
use sha2::Sha256;
use std::net::{IpAddr, Ipv6Addr};

/// The key of the hashes, derived from the encryption key, so that a reader of the table cannot try addresses against it. Another encryption
/// key starts the counts at zero.
#[derive(Debug)]
pub struct SubjectKey(Secret);

impl SubjectKey {
    pub fn derive(encryption_key: &Key) -> Self {
        Self(mac(&encryption_key.to_base64(), "rate limits key", "v1").into())
    }

    /// The subject of an account. Capitals and surrounding blanks make no difference.
    pub fn account(&self, email: &str) -> String {
        mac(&self.0, "account", &email.trim().to_lowercase())
    }

    /// The subject of a client's address. An IPv6 client usually has a whole /64 (RFC 6177), so a /64 is one subject. All requests without a valid
    /// address, as outside of Cloudflare, are one subject.
    pub fn address(&self, address: &str) -> String {
        let place = match address.trim().parse() {
            Ok(IpAddr::V4(address)) => address.to_string(),
            Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => address.to_string(),
                None => network(address).to_string(),
            },
            Err(_) => "unknown".to_owned(),
        };
        mac(&self.0, "address", &place)
    }
}

fn network(address: Ipv6Addr) -> Ipv6Addr {
    let [a, b, c, d, ..] = address.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
}

fn mac(key: &Secret, label: &str, text: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else {
        unreachable!("HMAC takes keys of any length")
    };
    // A label holds no NUL, so two different pairs never make the same text.
    for part in [label, "\0", text] {
        mac.update(part.as_bytes());
    }
    BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SubjectKey {
        SubjectKey::derive(&Key::from_bytes([byte; 32]))
    }

    #[test]
    fn an_account_is_one_however_it_is_written() {
        let of = |email| key(1).account(email);
        assert_eq!(of("a@example.com"), of(" A@Example.COM "));
        assert_ne!(of("a@example.com"), of("b@example.com"));
    }

    #[test]
    fn an_ipv6_network_is_one_subject_and_a_mapped_address_is_its_ipv4() {
        let of = |address| key(1).address(address);
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of(""), of("no address"));
    }

    #[test]
    fn a_subject_shows_neither_what_it_stands_for_nor_the_same_under_another_key() {
        let subject = key(1).address("192.0.2.1");
        assert!(!subject.contains("192") && subject.len() == 43);
        assert_ne!(subject, key(2).address("192.0.2.1"));
        assert_ne!(key(1).account("x"), key(1).address("x"));
    }
}
