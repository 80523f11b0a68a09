//! Makes text from outside safe for a terminal and a log.

use sealed::is_unsafe_to_show;

/// Puts text on one line and escapes what would move the cursor, change colours or reverse the writing direction.
pub fn on_one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = is_unsafe_to_show(c).then(|| c.escape_unicode());
            let plain = escaped.is_none().then_some(c);
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// The same for JSON strings, with JSON's escapes.
pub fn in_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe_to_show(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// "1 row", "2 rows".
pub fn rows(count: u64) -> String {
    match count {
        1 => "1 row".to_owned(),
        _ => format!("{count} rows"),
    }
}

/// "0 do", "1 does": the verb in front of "not open".
pub fn do_not(count: u64) -> String {
    format!("{count} {}", if count == 1 { "does" } else { "do" })
}

/// How long ago something was, in its largest unit.
pub fn age(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_moves_the_cursor() {
        let hostile = "a\u{1b}[31mb\n\u{202e}c\u{9b}d";
        assert_eq!(on_one_line(hostile), r"a\u{1b}[31mb\u{a}\u{202e}c\u{9b}d");
        assert_eq!(in_json("\"\u{202e}\""), r#""\u202e""#);
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(rows), ["0 rows", "1 row", "2 rows"]);
        let ages = [0, 1, 59, 60, 7199, 7200, 86_399, 86_400, 200_000];
        assert_eq!(
            ages.map(age),
            [
                "0 seconds ago",
                "1 second ago",
                "59 seconds ago",
                "1 minute ago",
                "1 hour ago",
                "2 hours ago",
                "23 hours ago",
                "1 day ago",
                "2 days ago"
            ]
        );
    }

    proptest! {
        #[test]
        fn shown_text_holds_no_control(text in any::<String>()) {
            prop_assert!(!on_one_line(&text).chars().any(is_unsafe_to_show));
            let json = serde_json::to_string(&text).unwrap_or_default();
            let shown = in_json(&json);
            prop_assert!(!shown.chars().any(is_unsafe_to_show));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
