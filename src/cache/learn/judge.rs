//! Do two answers tell the asker the same? Pure: the texts and the cosine of their embeddings come
//! in, a verdict goes out.
//!
//! Embeddings hardly notice "not" or another number, so a short answer is judged by those first.
//! In long answers both vary between two honest tries; there they can only keep a pair from being
//! called the same. What is neither clearly the same nor clearly different is unsure, and counts
//! for nothing.

use std::collections::BTreeSet;

use serde::Serialize;

/// Cosine from which two answers without a conflict are the same.
const SAME: f32 = 0.80;
/// Cosine below which two answers are about different things.
const DIFFERENT: f32 = 0.45;
/// Words up to which an answer is short: every number and every "not" of it matters.
const SHORT: usize = 40;
/// Content words up to which an answer is a bare fact that a longer one may contain.
const BARE: usize = 4;
/// Share of the numbers that long answers must have in common to be called the same.
const NUMBERS_IN_COMMON: f64 = 0.5;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The served answer would have done.
    Agree,
    /// It was wrong for this question.
    Disagree,
    /// Neither is clear.
    Unsure,
}

impl Verdict {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Agree => "agree",
            Verdict::Disagree => "disagree",
            Verdict::Unsure => "unsure",
        }
    }
}

/// Judges a fresh answer against the one that was served. `cosine` is missing where the answers
/// could not be embedded.
pub fn judge(served: &str, fresh: &str, cosine: Option<f32>) -> Verdict {
    let (a, b) = (Answer::read(served), Answer::read(fresh));
    if a.words.is_empty() || b.words.is_empty() {
        return Verdict::Unsure;
    }
    if a.words == b.words {
        return Verdict::Agree;
    }
    if let (Some(one), Some(other)) = (a.says, b.says)
        && one != other
    {
        return Verdict::Disagree;
    }
    let short = a.words.len() <= SHORT && b.words.len() <= SHORT;
    if short && a.contradicts(&b) {
        return Verdict::Disagree;
    }
    if a.is_contained_in(&b) || b.is_contained_in(&a) {
        return Verdict::Agree;
    }
    match cosine.filter(|cosine| cosine.is_finite()) {
        Some(cosine) if cosine >= SAME && a.may_match(&b, short) => Verdict::Agree,
        Some(cosine) if cosine < DIFFERENT => Verdict::Disagree,
        Some(_) | None => Verdict::Unsure,
    }
}

/// What is read off an answer.
struct Answer {
    words: Vec<String>,
    numbers: BTreeSet<String>,
    content: BTreeSet<String>,
    negations: usize,
    /// It begins with a yes or a no.
    says: Option<bool>,
}

impl Answer {
    fn read(text: &str) -> Self {
        let words = words(text);
        let numbers = words.iter().filter_map(|word| number(word)).collect();
        let negations = words.iter().filter(|word| is_negation(word)).count();
        let content = words
            .iter()
            .filter(|word| word.chars().count() > 2 || number(word).is_some())
            .filter(|word| !FILLERS.contains(&word.as_str()))
            .map(|word| number(word).unwrap_or_else(|| word.clone()))
            .collect();
        let says = words.first().and_then(|word| match word.as_str() {
            "yes" | "yeah" | "yep" | "correct" | "true" => Some(true),
            "no" | "nope" | "incorrect" | "false" => Some(false),
            _ => None,
        });
        Answer {
            words,
            numbers,
            content,
            negations,
            says,
        }
    }

    /// Another number, or a "not" on one side: in short answers that is another answer.
    fn contradicts(&self, other: &Self) -> bool {
        let both_count = !self.numbers.is_empty() && !other.numbers.is_empty();
        if both_count && self.numbers.is_disjoint(&other.numbers) {
            return true;
        }
        // the same statement with and without a "not": most other words must be shared
        let shared = self.content.intersection(&other.content).count();
        let fewer = self.content.len().min(other.content.len());
        let same_statement = fewer > 0 && shared * 3 >= fewer * 2;
        self.negations % 2 != other.negations % 2 && same_statement
    }

    /// A bare fact, word for word in the longer answer.
    fn is_contained_in(&self, other: &Self) -> bool {
        !self.content.is_empty()
            && self.content.len() <= BARE
            && self.negations % 2 == other.negations % 2
            && self.content.is_subset(&other.content)
    }

    fn may_match(&self, other: &Self, short: bool) -> bool {
        if short && self.negations % 2 != other.negations % 2 {
            return false;
        }
        let (fewer, more) = if self.numbers.len() <= other.numbers.len() {
            (&self.numbers, &other.numbers)
        } else {
            (&other.numbers, &self.numbers)
        };
        let common = fewer.intersection(more).count();
        fewer.is_empty() || count(common) >= count(fewer.len()) * NUMBERS_IN_COMMON
    }
}

/// Words that carry no fact.
const FILLERS: [&str; 24] = [
    "the", "and", "are", "was", "were", "has", "have", "had", "that", "this", "these", "those",
    "for", "with", "from", "its", "your", "you", "can", "will", "answer", "there", "which",
    "about",
];

fn is_negation(word: &str) -> bool {
    matches!(
        word,
        "not" | "no" | "never" | "none" | "cannot" | "neither" | "nor" | "without" | "unable"
    ) || word.ends_with("n't")
}

/// Lower-case words; apostrophes, and the points and commas inside numbers, stay.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for piece in text.split(|c: char| !(c.is_alphanumeric() || "'’.,%-".contains(c))) {
        let piece = piece.replace('’', "'").to_lowercase();
        let piece = piece.trim_matches(|c: char| "'.,-".contains(c));
        let is_number = piece.starts_with(|c: char| c.is_ascii_digit());
        if is_number {
            words.push(piece.to_owned());
        } else {
            let parts = piece.split(['.', ',', '-']);
            words.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
        }
    }
    words
}

/// A number in one spelling: without separators of thousands, without zeros after the point.
fn number(word: &str) -> Option<String> {
    let value = word.trim_end_matches('%').replace(',', "");
    if let Ok(value) = value.parse::<f64>()
        && value.is_finite()
        && word.starts_with(|c: char| c.is_ascii_digit())
    {
        return Some(value.to_string());
    }
    let spelt = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
        "eleven", "twelve",
    ];
    // "one" is mostly no number
    let at = spelt.iter().position(|known| *known == word)?;
    (at != 1).then(|| at.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "words of one answer")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
