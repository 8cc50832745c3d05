//! The quantities of a text, spelled one way: `two thirds` and `2/3`, `twice` and `two times`,
//! `5 percent` and `5%`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::lexicon;
use super::words::Token;

/// What a text counts, measures and computes.
#[derive(Clone, Default)]
pub(super) struct Numbers {
    /// In the order they stand.
    sequence: Vec<String>,
    /// Signs of currencies and `%`.
    units: BTreeSet<String>,
    /// Stems of what is measured in: kg, hour.
    measures: BTreeSet<String>,
    /// Signs of arithmetic stand among them, so their order is their meaning.
    computes: bool,
    /// The word each number stands before, with the numbers that stand before it.
    counted: BTreeMap<String, Vec<String>>,
}

const CARDINALS: [(&str, &str); 22] = [
    ("zero", "0"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
    ("eleven", "11"),
    ("twelve", "12"),
    ("fifteen", "15"),
    ("twenty", "20"),
    ("thirty", "30"),
    ("forty", "40"),
    ("fifty", "50"),
    ("hundred", "100"),
    ("thousand", "1000"),
    ("million", "1000000"),
    ("billion", "1000000000"),
    ("dozen", "12"),
];
/// After "the" and before what they count.
const ORDINALS: [(&str, &str); 4] = [
    ("first", "1st"),
    ("second", "2nd"),
    ("third", "3rd"),
    ("last", "last"),
];
/// Ordinals that are also parts of a whole.
const PARTS: [(&str, &str); 9] = [
    ("half", "2"),
    ("halves", "2"),
    ("third", "3"),
    ("quarter", "4"),
    ("fourth", "4"),
    ("fifth", "5"),
    ("sixth", "6"),
    ("eighth", "8"),
    ("tenth", "10"),
];
const MULTIPLES: [(&str, &str); 10] = [
    ("twice", "2"),
    ("double", "2"),
    ("doubled", "2"),
    ("doubles", "2"),
    ("doubling", "2"),
    ("thrice", "3"),
    ("triple", "3"),
    ("tripled", "3"),
    ("triples", "3"),
    ("halved", "1/2"),
];
const UNITS: [(&str, &str); 10] = [
    ("$", "$"),
    ("dollar", "$"),
    ("dollars", "$"),
    ("usd", "$"),
    ("€", "€"),
    ("euro", "€"),
    ("euros", "€"),
    ("%", "%"),
    ("percent", "%"),
    ("£", "£"),
];

const MEASURES: &str = "mg g kg ton ounce lb oz ml litre liter gallon mm cm m km mi mile yard foot inch \
    millisecond second sec minute min hour hr day week month year mph kmh knot celsius fahrenheit kelvin \
    kb mb gb tb kilobyte megabyte gigabyte terabyte watt kilowatt volt amp calorie yen yuan rupee peso";

/// Stems of the words that measure.
static MEASURING: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    MEASURES
        .split_whitespace()
        .map(lexicon::canonical)
        .collect()
});

fn named(table: &[(&'static str, &'static str)], word: &str) -> Option<&'static str> {
    table
        .iter()
        .find_map(|(name, value)| (*name == word).then_some(*value))
}

/// Whole amounts of money are written with and without their cents; versions keep every digit.
fn digits(token: &Token) -> Option<String> {
    let number = token.is_number().then_some(token.text.as_str());
    let number = number.or_else(|| named(&CARDINALS, &token.text))?;
    Some(number.strip_suffix(".00").unwrap_or(number).to_owned())
}

impl Numbers {
    pub(super) fn of(tokens: &[Token]) -> Numbers {
        let mut numbers = Numbers::default();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let after_the = at
                .checked_sub(1)
                .is_some_and(|before| tokens[before].text == "the");
            let place = named(&ORDINALS, &token.text).filter(|_| after_the);
            let place = place.filter(|_| counted_word(&tokens[at + 1..]).is_some());
            let (value, taken) = match place {
                Some(place) => (Some(place.to_owned()), 1),
                None => quantity(&tokens[at..]),
            };
            match value {
                Some(value) => {
                    if let Some(next) = counted_word(&tokens[at + taken..]) {
                        if MEASURING.contains(&next) {
                            numbers.measures.insert(next.clone());
                        }
                        let here = numbers.counted.entry(next).or_default();
                        here.push(value.clone());
                        here.sort_unstable();
                    }
                    numbers.sequence.push(value);
                }
                None => {
                    numbers.sign(&token.text);
                    numbers.rate(token, tokens.get(at + 1));
                }
            }
            at += taken;
        }
        numbers
    }

    /// Nothing is counted or computed.
    pub(super) fn is_empty(&self) -> bool {
        self.sequence.is_empty()
    }

    /// The same numbers in the same order. Where `reworded`, sentences may have changed places, so
    /// the order is free as long as nothing is computed with signs and no word counts differently.
    pub(super) fn agree(&self, other: &Numbers, reworded: bool) -> bool {
        if self.units != other.units || self.measures != other.measures {
            return false;
        }
        if self.sequence == other.sequence {
            return true;
        }
        let sorted = |numbers: &Numbers| {
            let mut sequence = numbers.sequence.clone();
            sequence.sort_unstable();
            sequence
        };
        let counts_agree = self
            .counted
            .iter()
            .all(|(word, here)| other.counted.get(word).is_none_or(|there| there == here));
        reworded
            && !self.computes
            && !other.computes
            && counts_agree
            && sorted(self) == sorted(other)
    }

    /// "per day", "every week".
    fn rate(&mut self, token: &Token, next: Option<&Token>) {
        let Some(next) = next.map(|next| lexicon::canonical(&next.text)) else {
            return;
        };
        let recurs = matches!(token.text.as_str(), "per" | "every" | "each");
        if recurs && MEASURING.contains(&next) {
            self.measures.insert(format!("per {next}"));
        }
    }

    fn sign(&mut self, word: &str) {
        if let Some(unit) = named(&UNITS, word) {
            self.units.insert(unit.to_owned());
        } else if !word.starts_with(char::is_alphabetic) {
            self.computes = true;
            self.sequence.push(word.to_owned());
        }
    }
}

/// The quantity at the front of `tokens` and how many of them spell it.
fn quantity(tokens: &[Token]) -> (Option<String>, usize) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let part = |at: usize| named(&PARTS, text(at).strip_suffix('s').unwrap_or(text(at)));
    if let Some(times) = named(&MULTIPLES, text(0)) {
        let times = if times.contains('/') {
            times.to_owned()
        } else {
            format!("{times}x")
        };
        return (Some(times), 1);
    }
    let one = text(0) == "one" || text(0) == "a";
    if one
        && text(1) != "half"
        && let Some(whole) = part(1)
    {
        return (Some(format!("1/{whole}")), 2);
    }
    if matches!(text(0), "half" | "halves") {
        return (Some("1/2".to_owned()), 1);
    }
    if matches!(text(0), "quarter" | "quarters") {
        return (Some("1/4".to_owned()), 1);
    }
    let Some(number) = tokens.first().and_then(digits) else {
        return (None, 1);
    };
    let below = (text(1) == "/")
        .then(|| tokens.get(2).and_then(digits))
        .flatten();
    if let Some(below) = below {
        return (Some(format!("{number}/{below}")), 3);
    }
    if number.len() == 1
        && let Some(whole) = part(1)
    {
        return (Some(format!("{number}/{whole}")), 2);
    }
    if text(1) == "times" {
        return (Some(format!("{number}x")), 2);
    }
    (Some(number), 1)
}

/// The stem of the word that follows, when it is a word.
fn counted_word(rest: &[Token]) -> Option<String> {
    let next = rest.first()?;
    let is_subject = next.text.starts_with(char::is_alphabetic)
        && !lexicon::is_stop_word(&next.text)
        && digits(next).is_none();
    is_subject.then(|| lexicon::canonical(&next.text))
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    fn of(text: &str) -> Numbers {
        Numbers::of(&words::tokens(text))
    }

    #[test]
    fn one_quantity_has_one_spelling() {
        for (a, b) in [
            ("two thirds of them", "2/3 of them"),
            ("half as much", "1/2 as much"),
            ("one-third remain", "1/3 remain"),
            ("a quarter of it", "1/4 of it"),
            ("twice the size", "two times the size"),
            ("thrice as high", "3 times as high"),
            ("costs 15 dollars", "costs $15.00"),
            ("a 5% raise", "a 5 percent raise"),
            ("a dozen eggs", "12 eggs"),
        ] {
            assert!(of(a).agree(&of(b), false), "{a} / {b}");
        }
    }

    #[test]
    fn versions_keep_every_digit() {
        assert!(!of("python 3.1").agree(&of("python 3.10"), true));
    }

    #[test]
    fn order_is_free_only_in_a_rewording_and_never_in_arithmetic() {
        let (a, b) = (
            of("in 2 hours it goes 60 miles"),
            of("it goes 60 miles in 2 hours"),
        );
        assert!(a.agree(&b, true) && !a.agree(&b, false));
        assert!(!of("what is 9 - 4").agree(&of("what is 4 - 9"), true));
    }

    #[test]
    fn numbers_that_count_each_others_things_disagree() {
        let (a, b) = (
            of("12 red cars and 8 blue cars"),
            of("8 red cars and 12 blue cars"),
        );
        assert!(!a.agree(&b, true));
    }
}
