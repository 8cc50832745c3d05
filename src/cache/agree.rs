//! Whether two answers say the same. Pure.
//!
//! Used where one answer vouches for another: an answer becomes everyone's only when two tenants'
//! upstreams agreed on it. What is in doubt does not agree.

use super::index::dot;

/// Least cosine of two answers that say the same in other words.
pub const LEAST_COSINE: f32 = 0.95;

/// An answer and, when there is one, the vector of its text.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The text.
    pub text: &'a str,
    /// Its unit-length vector; both must be of the same space.
    pub vector: Option<&'a [f32]>,
}

/// Words that turn a sentence round.
const NEGATIONS: [&str; 16] = [
    "not",
    "no",
    "never",
    "none",
    "nor",
    "neither",
    "cannot",
    "without",
    "nothing",
    "nobody",
    "hardly",
    "unable",
    "impossible",
    "false",
    "incorrect",
    "wrong",
];

/// The two say the same: equal but for case, spacing and punctuation at the end; or, with vectors,
/// the same numbers in any order, the same number of negations, the same first yes or no, and a
/// cosine of at least [`LEAST_COSINE`].
pub fn agree(a: Statement<'_>, b: Statement<'_>) -> bool {
    let (plain_a, plain_b) = (normalised(a.text), normalised(b.text));
    if plain_a.is_empty() || plain_b.is_empty() {
        return false;
    }
    if plain_a == plain_b {
        return true;
    }
    let (Some(x), Some(y)) = (a.vector, b.vector) else {
        return false;
    };
    x.len() == y.len()
        && dot(x, y) >= LEAST_COSINE
        && numbers(&plain_a) == numbers(&plain_b)
        && polarity(&plain_a) == polarity(&plain_b)
}

/// Lower case, one space between words, no punctuation at the end.
fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let text = words.join(" ");
    text.trim_end_matches(['.', '!', ' ']).to_owned()
}

/// Every number, sorted; separators of thousands and signs at the edges do not count.
fn numbers(text: &str) -> Vec<String> {
    let mut numbers: Vec<String> = text
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | ',' | '-' | '−')))
        .filter(|word| word.chars().any(|c| c.is_ascii_digit()))
        .map(|word| {
            let word = word.replace(',', "").replace('−', "-");
            word.trim_end_matches(['.', '-']).to_owned()
        })
        .collect();
    numbers.sort();
    numbers
}

/// How many negations, and whether it begins with yes or no.
fn polarity(text: &str) -> (usize, Option<bool>) {
    let words = text
        .split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’'))
        .filter(|word| !word.is_empty());
    let negations = words
        .clone()
        .filter(|word| NEGATIONS.contains(word) || word.ends_with("n't") || word.ends_with("n’t"))
        .count();
    let opening = match words.clone().next() {
        Some("yes" | "yeah" | "correct" | "true" | "right") => Some(true),
        Some("no" | "nope" | "false" | "incorrect" | "wrong") => Some(false),
        _ => None,
    };
    (negations, opening)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: [f32; 2] = [1.0, 0.0];
    const NEAR: [f32; 2] = [0.96, 0.28];
    const FAR: [f32; 2] = [0.8, 0.6];

    fn told(a: &str, b: &str, vectors: Option<(&[f32], &[f32])>) -> bool {
        let (x, y) = vectors.unzip();
        let (a, b) = (
            Statement { text: a, vector: x },
            Statement { text: b, vector: y },
        );
        assert_eq!(agree(a, b), agree(b, a), "the order never matters");
        agree(a, b)
    }

    #[test]
    fn spelling_alone_does_not_matter() {
        assert!(told("Paris.", "  paris", None));
        assert!(told("It is\nParis!", "it is Paris", None));
    }

    #[test]
    fn other_words_agree_only_with_near_vectors() {
        let (a, b) = ("The capital is Paris", "Paris is the capital");
        assert!(!told(a, b, None));
        assert!(told(a, b, Some((&SAME, &NEAR))));
        assert!(!told(a, b, Some((&SAME, &FAR))));
        assert!(!told(a, b, Some((&SAME, &[1.0]))));
    }

    #[test]
    fn other_numbers_or_another_polarity_never_agree() {
        for (a, b) in [
            ("it boils at 100 degrees", "it boils at 90 degrees"),
            ("it boils at 100 degrees", "it boils at a hundred degrees"),
            ("take 2 of 3", "take 3 of 3"),
            ("it is -5 outside", "it is 5 outside"),
            ("it is safe for dogs", "it is not safe for dogs"),
            ("you can do that", "you can't do that"),
            ("yes, that works well", "no, that works well"),
            ("that is possible", "that is impossible"),
        ] {
            assert!(!told(a, b, Some((&SAME, &SAME))), "{a} / {b}");
        }
        assert!(told(
            "about 1,000 km in 3 h",
            "in 3 h about 1000 km.",
            Some((&SAME, &NEAR))
        ));
    }

    #[test]
    fn nothing_agrees_with_nothing() {
        assert!(!told("", "", None));
        assert!(!told(" ...", "!", Some((&SAME, &SAME))));
    }
}
