//! The tags of an integration: short texts by which operators and admins sort integrations.

use crate::display_name::confusing;
use crate::error::{ClientError, Result};

const TAGS_MAX: usize = 20;
const CHARACTERS_MAX: usize = 64;

/// The bounds are the table's.
pub fn check(tags: &[String]) -> Result<()> {
    if tags.len() > TAGS_MAX || !tags.iter().all(|tag| is_tag(tag)) {
        return Err(ClientError::Invalid(
            "tags must be at most 20, each 1 to 64 characters on one line, without surrounding blanks",
        )
        .into());
    }
    Ok(())
}

pub fn is_tag(text: &str) -> bool {
    (1..=CHARACTERS_MAX).contains(&text.chars().count())
        && text.trim() == text
        && !text.contains(confusing)
}

/// The filter of PostgREST for the rows with a tag: an array's text form, in which quotes and backslashes are escaped.
pub fn filter(tag: Option<&str>) -> Result<String> {
    let Some(tag) = tag else {
        return Ok(String::new());
    };
    if !is_tag(tag) {
        return Err(ClientError::Invalid("tag must be 1 to 64 characters on one line").into());
    }
    let escaped = tag.replace('\\', r"\\").replace('"', r#"\""#);
    let list = format!(r#"{{"{escaped}"}}"#);
    let encoded: String = form_urlencoded::byte_serialize(list.as_bytes()).collect();
    Ok(format!("&tags=cs.{encoded}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_few_short_and_on_one_line() {
        let many = |count: usize| vec!["a".to_owned(); count];
        assert!(check(&many(20)).is_ok() && check(&[]).is_ok());
        assert!(check(&many(21)).is_err());
        for tag in [
            "eu",
            "tier:gold",
            "Büro 東京",
            "a,b{c}\"d\\e",
            &"é".repeat(64),
        ] {
            assert!(check(&[tag.to_owned()]).is_ok(), "{tag}");
        }
        for tag in ["", " a", "a\n", "a\u{0}b", "a\u{202e}b", &"é".repeat(65)] {
            assert!(check(&[tag.to_owned()]).is_err(), "{tag:?}");
        }
    }

    // threat model 24
    #[test]
    fn a_tag_stays_one_element_of_the_filter() {
        let list = |tag: &str| {
            let filter = filter(Some(tag)).unwrap();
            let encoded = filter.strip_prefix("&tags=cs.").unwrap();
            assert!(!encoded.contains(['&', '=', '{', '"', ' ']), "{encoded}");
            let query = format!("v={encoded}");
            let value = form_urlencoded::parse(query.as_bytes()).next().unwrap().1;
            value.into_owned()
        };
        assert_eq!(list("eu west"), r#"{"eu west"}"#);
        assert_eq!(list(r#"a","b"#), r#"{"a\",\"b"}"#);
        assert_eq!(list(r"a\"), r#"{"a\\"}"#);
        assert_eq!(list("x&config=is.null"), r#"{"x&config=is.null"}"#);
        assert_eq!(filter(None).unwrap(), "");
        assert!(filter(Some("")).is_err() && filter(Some("a\nb")).is_err());
    }
}
