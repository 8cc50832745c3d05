//! Whether JSON that comes in fragments is complete, without keeping it.

/// Follows the nesting of one JSON value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fragments {
    depth: u64,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl Fragments {
    /// Reads on.
    pub(super) fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    self.begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// An object or array has begun and ended. Of anything else the end cannot be told.
    pub(super) fn complete(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::Fragments;

    #[test]
    fn a_value_is_complete_with_its_last_bracket_and_not_before() {
        let text = r#" {"a":"}\"{","b":[1,{"c":2}]}"#;
        for cut in 0..=text.len() {
            let mut seen = Fragments::default();
            seen.push(&text[..cut]);
            assert_eq!(seen.complete(), cut == text.len(), "{cut}");
        }
    }

    #[test]
    fn a_bare_word_is_never_known_to_be_complete() {
        let mut seen = Fragments::default();
        seen.push("null");
        assert!(!seen.complete());
    }
}
