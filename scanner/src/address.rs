//! The URL that a request is sent to. The crate `checks` allows only https to the entry's own hosts. A setting can replace their origin, for a
//! self-hosted provider and for development.

use std::collections::BTreeMap;

/// Moves the URL to the type's base URL, if there is one. The path stays.
pub fn placed(url: &str, base: Option<&str>) -> String {
    match base {
        Some(base) => format!("{base}/{}", url.splitn(4, '/').nth(3).unwrap_or_default()),
        None => url.to_owned(),
    }
}

/// Rewrites the headers that name the next page, as if the entry's own host had answered.
pub fn put_back(headers: &mut BTreeMap<String, String>, url: &str, base: Option<&str>) {
    let origin_ends = url
        .match_indices('/')
        .nth(2)
        .map_or(url.len(), |(at, _)| at);
    if let (Some(base), Some(link)) = (base, headers.get_mut("link")) {
        *link = link.replace(&format!("<{base}/"), &format!("<{}/", &url[..origin_ends]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_takes_the_place_of_the_origin_and_of_nothing_else() {
        let url = "https://api.github.com/user/orgs?per_page=100&x=https://y/z";
        assert_eq!(placed(url, None), url);
        assert_eq!(
            placed(url, Some("http://localhost:1")),
            "http://localhost:1/user/orgs?per_page=100&x=https://y/z"
        );
        assert_eq!(placed("https://h", Some("http://b")), "http://b/");
    }

    #[test]
    fn links_to_the_base_url_are_links_to_the_entrys_host() {
        let link = |text: &str| {
            let mut headers = BTreeMap::from([("link".to_owned(), text.to_owned())]);
            put_back(
                &mut headers,
                "https://gitlab.com/api/v4/groups",
                Some("https://git.example"),
            );
            headers.remove("link").unwrap()
        };
        assert_eq!(
            link(
                r#"<https://git.example/api/v4/groups?page=2>; rel="next", <https://other.example/>; rel="x""#
            ),
            r#"<https://gitlab.com/api/v4/groups?page=2>; rel="next", <https://other.example/>; rel="x""#
        );
        assert_eq!(
            link("<https://git.example.evil/>"),
            "<https://git.example.evil/>"
        );
    }
}
