//! URL templates with placeholders in braces.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The names in braces, in their order.
///
/// # Errors
///
/// What is wrong with the braces.
pub fn names(template: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        let after = &rest[open + 1..];
        let close = after
            .find(['{', '}'])
            .filter(|_| rest[open..].starts_with('{'));
        let Some(close) = close.filter(|close| after[*close..].starts_with('}')) else {
            return Err(format!("{template:?} has an unpaired brace"));
        };
        names.push(&after[..close]);
        rest = &after[close + 1..];
    }
    Ok(names)
}

/// The template with its placeholders filled in as they are; none if one has no value.
pub fn fill(template: &str, values: &BTreeMap<String, String>) -> Option<String> {
    replace(template, |name| values.get(name).cloned())
}

/// The URL with its placeholders filled in, each as one path segment or, before the path, as labels of the host. None if
/// one has no value, or one that would change the URL's shape.
pub fn fill_url(template: &str, values: &BTreeMap<String, String>) -> Option<String> {
    let path = template
        .find("://")
        .and_then(|at| template[at + 3..].find('/').map(|slash| at + 3 + slash))?;
    let host = replace(&template[..path], |name| {
        values.get(name).filter(|value| is_labels(value)).cloned()
    })?;
    let path = replace(&template[path..], |name| {
        values.get(name).and_then(|value| segment(value))
    })?;
    Some(host + &path)
}

/// Whether a URL is `https`, of one of the hosts, without a port or user.
pub fn is_allowed(address: &str, hosts: &[String]) -> bool {
    let Some(rest) = address.strip_prefix("https://") else {
        return false;
    };
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    hosts.iter().any(|allowed| match allowed.strip_prefix('*') {
        Some(below) => host.strip_suffix(below).is_some_and(is_labels),
        None => host == allowed,
    })
}

fn replace(template: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(&value(name)?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

/// One path segment, percent-encoded (RFC 3986, 2.3). A dot segment would climb out of its place.
fn segment(value: &str) -> Option<String> {
    if value.is_empty() || value.len() > 300 || value == "." || value == ".." {
        return None;
    }
    let mut encoded = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").ok()?;
        }
    }
    Some(encoded)
}

fn is_labels(text: &str) -> bool {
    text.len() <= 200
        && text.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("id".to_owned(), value.to_owned())])
    }

    #[test]
    fn a_value_stays_one_segment() {
        let url = fill_url("https://a.test/x/{id}/y", &values("a/../b?c#d"));
        assert_eq!(url.unwrap(), "https://a.test/x/a%2F..%2Fb%3Fc%23d/y");
    }

    #[test]
    fn refuses_a_dot_segment_and_an_empty_value() {
        for value in ["..", ".", ""] {
            assert_eq!(fill_url("https://a.test/{id}", &values(value)), None);
        }
    }

    #[test]
    fn refuses_a_value_that_changes_the_host() {
        for value in ["evil.test/", "a@b", "a:1", "a..b", ""] {
            assert_eq!(
                fill_url("https://{id}.a.test/", &values(value)),
                None,
                "{value}"
            );
        }
        assert!(fill_url("https://{id}.a.test/", &values("acme.eu")).is_some());
    }

    #[test]
    fn allows_only_the_hosts_of_the_entry() {
        let hosts = ["a.test".to_owned(), "*.b.test".to_owned()];
        assert!(is_allowed("https://a.test/x", &hosts));
        assert!(is_allowed("https://c.d.b.test?x", &hosts));
        for url in [
            "http://a.test/",
            "https://a.test:8443/",
            "https://a.test@evil.test/",
            "https://evil.test/a.test",
            "https://b.test/",
            "https://evilb.test/",
            "https://evil.test#.b.test",
            "https://evil.test\\.b.test/",
        ] {
            assert!(!is_allowed(url, &hosts), "{url}");
        }
    }

    #[test]
    fn names_refuses_unpaired_braces() {
        assert_eq!(names("/{a}/{b}").unwrap(), ["a", "b"]);
        for bad in ["{a", "a}", "{a{b}}"] {
            assert!(names(bad).is_err(), "{bad}");
        }
    }
}
