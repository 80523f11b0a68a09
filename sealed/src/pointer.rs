use std::fmt::{self, Write};

/// The position of a walk through a config, as a JSON Pointer (RFC 6901).
#[derive(Default)]
pub(crate) struct Pointer(String);

impl Pointer {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enters a member. Returns the position for [`leave`](Self::leave).
    pub fn enter_name(&mut self, name: &str) -> usize {
        let before = self.0.len();
        self.0.push('/');
        for c in name.chars() {
            match c {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                c => self.0.push(c),
            }
        }
        before
    }

    /// Enters an element.
    pub fn enter_index(&mut self, index: usize) -> usize {
        let before = self.0.len();
        // Writing to a String cannot fail.
        let _ = write!(self.0, "/{index}");
        before
    }

    pub fn leave(&mut self, before: usize) {
        self.0.truncate(before);
    }
}

/// A pointer for errors and logs. The author of the row chose its names, so it is cut to a bounded length, and control characters, which
/// could move a terminal's cursor, are escaped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SafePointer(Box<str>);

const MAX_CHARS: usize = 200;

/// Whether a character may do more to a terminal or a log than show itself: controls, line and paragraph separators, and marks that
/// change the writing direction.
pub fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl SafePointer {
    pub fn new(pointer: &str) -> Self {
        let mut text = String::new();
        for c in pointer.chars().take(MAX_CHARS) {
            if is_unsafe_to_show(c) {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        if pointer.chars().nth(MAX_CHARS).is_some() {
            text.push('…');
        }
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SafePointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_rfc_6901_section_3_says() {
        let mut pointer = Pointer::default();
        let top = pointer.enter_name("a/b~c~1");
        pointer.enter_index(12);
        let inner = pointer.enter_name("");
        assert_eq!(pointer.as_str(), "/a~1b~0c~01/12/");
        pointer.leave(inner);
        assert_eq!(pointer.as_str(), "/a~1b~0c~01/12");
        pointer.leave(top);
        assert_eq!(pointer.as_str(), "");
    }

    #[test]
    fn safe_pointers_are_bounded_and_harmless() {
        assert_eq!(SafePointer::new("/ä_key").as_str(), "/ä_key");
        assert_eq!(
            SafePointer::new("/a\u{202e}b\u{2028}_key").as_str(),
            "/a\\u{202e}b\\u{2028}_key"
        );
        assert_eq!(SafePointer::new("/\u{1b}[2J\n").as_str(), "/\\u{1b}[2J\\n");
        assert_eq!(
            SafePointer::new(&"ä".repeat(10_000))
                .as_str()
                .chars()
                .count(),
            MAX_CHARS + 1
        );
    }
}
