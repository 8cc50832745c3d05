//! Words: seeded ones, and how text is cut into them.

/// A draw in `[0, 1)` that depends on nothing but `seed` and `index` (splitmix64).
pub(super) fn draw(seed: u64, index: u64) -> f64 {
    let bits = mix(seed ^ mix(index)) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    let share = bits as f64 / (1u64 << 53) as f64;
    share
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const VOCABULARY: [&str; 32] = [
    "a", "answer", "at", "by", "cache", "calm", "every", "first", "from", "holds", "in", "knows",
    "letter", "model", "morning", "node", "of", "one", "open", "quiet", "reads", "river", "route",
    "small", "stone", "the", "through", "token", "walks", "where", "window", "writes",
];

/// `count` words of seeded text, single spaces between them.
pub(super) fn lorem(seed: u64, count: u64) -> String {
    let mut text = String::new();
    for index in 0..count {
        if index > 0 {
            text.push(' ');
        }
        let at = mix(seed ^ mix(index)) % VOCABULARY.len() as u64;
        text.push_str(usize::try_from(at).map_or("a", |at| VOCABULARY[at]));
    }
    text
}

/// Words of a text.
pub(super) fn count(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// Byte offset after each word and the white space that follows it, so that the pieces between
/// them join to the text again. White space in front belongs to the first word.
pub(super) fn ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut in_word, mut seen_word) = (false, false);
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            in_word = false;
        } else if !in_word {
            if seen_word {
                ends.push(at);
            }
            (in_word, seen_word) = (true, true);
        }
    }
    if !text.is_empty() {
        ends.push(text.len());
    }
    ends
}

/// The text's first `limit` words, trailing white space cut; all of it when there are no more.
pub(super) fn first(text: &str, limit: u64) -> &str {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let ends = ends(text);
    match limit.checked_sub(1).map(|last| ends.get(last)) {
        None => "",
        Some(Some(end)) if *end < text.len() => text[..*end].trim_end(),
        Some(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_text() {
        assert_eq!(lorem(7, 64), lorem(7, 64));
        assert_ne!(lorem(7, 64), lorem(8, 64));
        assert_eq!(count(&lorem(7, 64)), 64);
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_text(text in "[ a-c\n\u{e9}]{0,40}") {
            let mut start = 0;
            let mut joined = String::new();
            for end in ends(&text) {
                joined.push_str(&text[start..end]);
                start = end;
            }
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn a_limit_is_never_exceeded(text in "[ a-c\n]{0,40}", limit in 0u64..12) {
            let cut = first(&text, limit);
            prop_assert_eq!(count(cut), count(&text).min(limit));
            prop_assert!(text.starts_with(cut));
        }

        #[test]
        fn draws_lie_in_the_unit_interval(seed: u64, index: u64) {
            prop_assert!((0.0..1.0).contains(&draw(seed, index)));
        }
    }
}
