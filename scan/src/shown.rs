//! Escapes a provider's text for a terminal.

/// The text with control characters, and those that change the direction of writing, escaped.
pub fn shown(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut shown = String::new();
    for c in text.chars() {
        if hostile(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn escapes_what_moves_the_cursor_or_turns_the_text() {
        assert_eq!(
            shown("a\u{1b}[2J\r\n\u{202e}b"),
            "a\\u{1b}[2J\\r\\n\\u{202e}b"
        );
        assert_eq!(shown("Grüße"), "Grüße");
    }
}
