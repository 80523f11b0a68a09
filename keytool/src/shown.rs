//! Text of others, made fit for a terminal and a log: what a server says, and what somebody has typed.

use std::path::Path;

/// Text on one line, in which nothing moves the cursor, colours, or turns the direction of writing around.
pub fn on_one_line(text: &str) -> String {
    escaped(text, |c, shown| shown.extend(c.escape_unicode()))
}

/// The same for JSON, whose strings may hold all of these: they are written as JSON has them.
pub fn in_json(text: &str) -> String {
    escaped(text, |c, shown| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            shown.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hostile(c) {
            true => escape(c, &mut shown),
            false => shown.push(c),
        }
    }
    shown
}

/// Controls, line and paragraph separators, and what turns the direction of writing around.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A file's name as it was typed, unless it may be a key that was pasted where a name belongs.
pub fn file_name(path: &Path) -> String {
    let name = path.to_string_lossy();
    if may_be_a_secret(&name) {
        "[not shown: it looks like a key]".to_owned()
    } else {
        on_one_line(&name)
    }
}

/// Whether a text could be a key, or the larger part of one: base64, base64url or hexadecimal digits and nothing else.
/// One that begins as a path does must have a whole key's length, of base64 with a slash and no other punctuation.
fn may_be_a_secret(text: &str) -> bool {
    let text = text.trim();
    if text.starts_with('/') {
        let digits = text.strip_suffix('=').unwrap_or(text);
        let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
        return digits.len() == 43 && digits.chars().all(is_digit);
    }
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=');
    text.len() >= 20 && text.chars().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pasted_key_is_not_shown() {
        for key in [
            "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
            "/83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
            "q83vEjRWeJCrze8SNFZ4kKvN7xI0",
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            " q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA= ",
        ] {
            assert_eq!(
                file_name(Path::new(key)),
                "[not shown: it looks like a key]",
                "{key}"
            );
        }
        for name in [
            "key",
            "new.key",
            "/etc/keytool/production",
            "/tmp/keytool-generate-overwrite-123456/some/key",
            "./keys/2026-11-27.base64",
        ] {
            assert_eq!(file_name(Path::new(name)), name);
        }
    }

    #[test]
    fn nothing_moves_the_cursor() {
        let hostile = "a\u{1b}[31mb\n\u{202e}c\u{9b}d";
        assert_eq!(on_one_line(hostile), r"a\u{1b}[31mb\u{a}\u{202e}c\u{9b}d");
        assert_eq!(in_json("\"\u{202e}\""), r#""\u202e""#);
    }

    proptest! {
        #[test]
        fn shown_text_holds_no_control(text in any::<String>()) {
            prop_assert!(!on_one_line(&text).chars().any(is_hostile));
            let json = serde_json::to_string(&text).unwrap_or_default();
            let shown = in_json(&json);
            prop_assert!(!shown.chars().any(is_hostile));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
