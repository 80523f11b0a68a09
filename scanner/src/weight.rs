//! Estimates the memory of a parsed answer: many times its bytes, if its values are small. An isolate has 128 MB.

/// For one answer, in bytes.
const MOST: usize = 40 << 20;
/// What an object, an array and an element take in wasm, in bytes, roughly.
const OBJECT: usize = 320;
const ARRAY: usize = 32;
const ELEMENT: usize = 32;

/// Counts the marks outside of strings.
pub fn is_too_heavy(json: &[u8]) -> bool {
    let mut weight = json.len();
    let mut is_string = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match (byte, is_string) {
            (b'"', _) => is_string = !is_string,
            // An escaped quote ends no string.
            (b'\\', true) => drop(bytes.next()),
            (b'{', false) => weight += OBJECT,
            (b'[', false) => weight += ARRAY,
            (b',', false) => weight += ELEMENT,
            _ => {}
        }
    }
    weight > MOST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_ten_thousand_items_is_taken_and_a_flood_of_empty_ones_is_not() {
        let item = format!(
            r#"{{"id":1,"name":"{}","owner":{{"id":2}}}}"#,
            ",{[".repeat(150)
        );
        let list = format!("[{}]", vec![item; 10_000].join(","));
        assert!(list.len() > 4 << 20 && !is_too_heavy(list.as_bytes()));
        for flood in [r#"{"":0},"#, "[],", "0,"] {
            let list = format!("[{}0]", flood.repeat((5 << 20) / flood.len()));
            assert!(is_too_heavy(list.as_bytes()), "{flood}");
        }
    }

    #[test]
    fn strings_weigh_what_they_are() {
        let text = format!(r#""{}""#, r#"\"{,"#.repeat(1 << 20));
        assert!(!is_too_heavy(text.as_bytes()));
        assert!(!is_too_heavy(br#""\"#));
        assert!(!is_too_heavy(b""));
    }
}
