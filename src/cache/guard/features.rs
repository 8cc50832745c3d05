//! What the guards read off a text, once per text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::lexicon;
use super::numbers::Numbers;
use super::question::{Question, asks, question};
use super::words::{self, Token};

/// First, second or third person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Person {
    First,
    Second,
    He,
    She,
    They,
}

/// How a word is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    From,
    To,
    At,
}

/// Features of one text. Shows only counts when printed: the words are a user's.
#[derive(Clone, Default)]
pub struct Features {
    pub(super) numbers: Numbers,
    pub(super) negations: usize,
    /// The word of content after each negation, in order: what is denied.
    pub(super) denied: Vec<String>,
    /// Every word as written, lower case.
    pub(super) words: BTreeSet<String>,
    pub(super) quotes: Vec<String>,
    pub(super) code: BTreeSet<String>,
    /// Stems of capitalised words inside sentences.
    pub(super) names: BTreeSet<String>,
    /// Stems of the words that carry the subject, in order.
    pub(super) content: Vec<String>,
    /// Words such as before, by, than: a multiset.
    pub(super) relations: Vec<String>,
    pub(super) governed: BTreeMap<String, BTreeSet<Way>>,
    pub(super) directed: bool,
    pub(super) question: Question,
    pub(super) asks: bool,
    /// Past, future.
    pub(super) tense: (bool, bool),
    /// Of first and second person, in order, repeats dropped.
    pub(super) persons: Vec<Person>,
    pub(super) third_persons: BTreeSet<Person>,
    /// Of all three persons, in order, repeats dropped: who does what to whom.
    pub(super) cast: Vec<Person>,
    /// Owners that are not also the subject.
    pub(super) owners: BTreeSet<Person>,
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({} words of content)", self.content.len())
    }
}

/// Content words of one text that are compared in order.
const COMPARED: usize = 256;
/// Fewest content words of a text that can be told another way.
const REWORDED: usize = 5;

const NEGATIONS: [&str; 10] = [
    "not", "no", "never", "none", "nothing", "nobody", "neither", "nor", "without", "except",
];
const RELATIONS: [&str; 13] = [
    "by", "without", "before", "after", "against", "until", "since", "than", "over", "under", "or",
    "if", "unless",
];
const DIRECTIONS: [&str; 12] = [
    "from", "to", "into", "onto", "than", "before", "after", "by", "over", "under", "against",
    "versus",
];

impl Features {
    /// Reads `text`. Linear in its length.
    pub fn of(text: &str) -> Self {
        let tokens = words::tokens(text);
        let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
        let asked = &tokens[lexicon::framing_length(&texts)..];
        let mut features = Features {
            numbers: Numbers::of(&tokens),
            quotes: quotes(text),
            code: code(text),
            question: question(asked),
            asks: asks(text, &tokens),
            ..Features::default()
        };
        features.read_words(asked);
        features.read_content(asked);
        features
    }

    /// How many content words of one side lack their match on the other, both sides together.
    pub fn unmatched(&self, other: &Features) -> usize {
        let mut balance: BTreeMap<&str, i64> = BTreeMap::new();
        self.content
            .iter()
            .for_each(|word| *balance.entry(word).or_default() += 1);
        other
            .content
            .iter()
            .for_each(|word| *balance.entry(word).or_default() -= 1);
        let open: u64 = balance.values().map(|count| count.unsigned_abs()).sum();
        usize::try_from(open).unwrap_or(usize::MAX)
    }

    /// The same content words in another order.
    pub fn is_reordering_of(&self, other: &Features) -> bool {
        self.content != other.content && self.unmatched(other) == 0
    }

    /// Content words that stand in the same order on both sides: the longest common subsequence.
    /// Quadratic, over at most 256 words of each.
    pub fn in_common(&self, other: &Features) -> usize {
        let (a, b) = (cut(&self.content), cut(&other.content));
        let mut best = vec![0_usize; b.len() + 1];
        for x in a {
            let mut diagonal = 0;
            for (at, y) in b.iter().enumerate() {
                let above = best[at + 1];
                best[at + 1] = if x == y {
                    diagonal + 1
                } else {
                    above.max(best[at])
                };
                diagonal = above;
            }
        }
        best[b.len()]
    }

    /// Long enough to be told another way, and told another way: no small edit of the other text.
    pub fn is_rewording_of(&self, other: &Features) -> bool {
        let (a, b) = (self.content.len(), other.content.len());
        let (shorter, longer) = (a.min(b), a.max(b));
        let alike_in_length = longer * 2 <= shorter * 3;
        let many_exchanged = self.unmatched(other) * 5 >= a + b;
        shorter >= REWORDED && alike_in_length && many_exchanged
    }

    /// Its content words that are names here or in the other text, in order.
    pub(super) fn names_in_order(&self, other: &Features) -> Vec<&str> {
        let is_name = |word: &&String| self.names.contains(*word) || other.names.contains(*word);
        self.content
            .iter()
            .filter(is_name)
            .map(String::as_str)
            .collect()
    }

    /// Words that carry the subject.
    pub fn subjects(&self) -> usize {
        self.content.len()
    }

    /// Something is asked, in the form of a question or with a question word at the front.
    pub fn is_question(&self) -> bool {
        self.asks
    }

    /// Nothing in the text carries a subject, so nothing can be compared.
    pub fn is_empty(&self) -> bool {
        self.content.is_empty() && self.numbers.is_empty()
    }

    fn read_words(&mut self, tokens: &[Token]) {
        let mut owners = BTreeSet::new();
        let mut subjects = BTreeSet::new();
        for token in tokens {
            let word = token.text.as_str();
            self.negations += usize::from(NEGATIONS.contains(&word));
            if RELATIONS.contains(&word) {
                self.relations.push(word.to_owned());
            }
            match word {
                _ if token.is_shouted() && word != "i" => {}
                "i" | "we" => _ = subjects.insert(Person::First),
                "you" => _ = subjects.insert(Person::Second),
                "my" | "mine" | "our" | "ours" => _ = owners.insert(Person::First),
                "your" | "yours" => _ = owners.insert(Person::Second),
                "he" | "him" | "his" => _ = self.third_persons.insert(Person::He),
                "she" | "her" | "hers" => _ = self.third_persons.insert(Person::She),
                "they" | "them" | "their" | "theirs" => _ = self.third_persons.insert(Person::They),
                "was" | "were" | "did" | "had" => self.tense.0 = true,
                "will" | "shall" => self.tense.1 = true,
                _ => {}
            }
            let other = match word {
                "he" | "him" => Some(Person::He),
                "she" => Some(Person::She),
                "they" | "them" => Some(Person::They),
                _ => None,
            };
            let person = match word {
                "i" | "me" | "we" => Some(Person::First),
                "us" if !token.is_shouted() => Some(Person::First),
                "you" => Some(Person::Second),
                _ => None,
            };
            let next = person.filter(|person| self.persons.last() != Some(person));
            self.persons.extend(next);
            let cast = person.or(other);
            if let Some(one) = cast.filter(|one| self.cast.last() != Some(one)) {
                self.cast.push(one);
            }
            self.words.insert(token.text.clone());
        }
        self.relations.sort_unstable();
        self.owners = owners.difference(&subjects).copied().collect();
        self.directed = tokens
            .iter()
            .any(|token| DIRECTIONS.contains(&token.text.as_str()));
    }

    fn read_content(&mut self, tokens: &[Token]) {
        let written_big = tokens.iter().filter(|token| token.is_capitalised()).count();
        let all_shouted = tokens.iter().filter(|t| t.is_shouted()).count() * 2 > tokens.len();
        let titled = written_big * 3 > tokens.len() * 2;
        let (mut way, mut denies) = (None, false);
        for (at, token) in tokens.iter().enumerate() {
            let is_word = token.text.starts_with(char::is_alphabetic);
            denies |= NEGATIONS.contains(&token.text.as_str());
            let stop = lexicon::is_stop_word(&token.text) && (all_shouted || !token.is_shouted());
            if token.is_number() || !is_word {
                continue;
            }
            // "what does it do" asks for more than "what is it"
            let does = token.text == "do" && at + 1 == tokens.len();
            if stop && !does || is_filler(tokens, at) {
                way = way_of(&token.text).or(way);
                continue;
            }
            let stem = lexicon::canonical(&token.text);
            if token.is_capitalised() && !token.starts_sentence && !titled {
                self.names.insert(stem.clone());
            }
            let ways = self.governed.entry(stem.clone()).or_default();
            ways.extend(way.take());
            if std::mem::take(&mut denies) {
                self.denied.push(stem.clone());
            }
            self.content.push(stem);
        }
    }
}

fn cut(words: &[String]) -> &[String] {
    &words[..words.len().min(COMPARED)]
}

fn way_of(word: &str) -> Option<Way> {
    match word {
        "from" => Some(Way::From),
        "to" | "into" | "onto" => Some(Way::To),
        "in" | "on" | "at" | "of" | "for" => Some(Way::At),
        _ => None,
    }
}

/// "the best way to" asks how; "the Python programming language" is Python.
fn is_filler(tokens: &[Token], at: usize) -> bool {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let before = at.checked_sub(1).map_or("", word);
    let is_way = |at: usize| matches!(word(at), "way" | "ways") && word(at + 1) == "to";
    let named = |at: usize| {
        tokens
            .get(at)
            .is_some_and(|t| t.is_capitalised() && !t.starts_sentence)
    };
    match word(at) {
        "way" | "ways" => is_way(at),
        "best" => is_way(at + 1),
        "programming" => word(at + 1) == "language" && at.checked_sub(1).is_some_and(named),
        "language" => before == "programming" && at.checked_sub(2).is_some_and(named),
        _ => false,
    }
}

/// What stands between two quotation marks of a kind, sorted.
fn quotes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (open, close) in [('"', '"'), ('“', '”'), ('`', '`'), ('«', '»')] {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once(open) {
            let Some((inside, tail)) = after.split_once(close) else {
                break;
            };
            found.push(inside.to_owned());
            rest = tail;
        }
    }
    // an apostrophe opens a quotation only after a space and closes it only before none of a word
    let mut rest = text;
    while let Some(at) = rest.find(" '") {
        let after = &rest[at + 2..];
        let close = after
            .char_indices()
            .position(|(i, c)| c == '\'' && !after[i + 1..].starts_with(char::is_alphanumeric));
        let Some(close) = close.and_then(|nth| after.char_indices().nth(nth)) else {
            break;
        };
        found.push(after[..close.0].to_owned());
        rest = &after[close.0 + 1..];
    }
    found.sort_unstable();
    found
}

/// `snake_case`, `camelCase`, `a::b`, `call()`, paths, `file.ext`, flags.
fn code(text: &str) -> BTreeSet<String> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| ",;:?!\"'`“”.".contains(c)))
        .filter(|word| looks_like_code(word))
        .map(str::to_owned)
        .collect()
}

fn looks_like_code(word: &str) -> bool {
    let chars: Vec<char> = word.chars().collect();
    let camel = chars
        .windows(2)
        .any(|pair| pair[0].is_lowercase() && pair[1].is_uppercase());
    let dotted = chars
        .windows(3)
        .any(|w| w[0].is_alphanumeric() && w[1] == '.' && w[2].is_alphabetic());
    let path =
        word.starts_with(['/', '~', '.', '\\']) && word.len() > 1 || word.matches('/').count() > 1;
    let flag = word.starts_with("--") && word.len() > 2
        || word.starts_with('-') && chars.len() == 2 && chars[1].is_alphabetic();
    camel
        || dotted
        || path
        || flag
        || word.contains(['_', '@', '{', '}', '$', '=', '<', '>', '|', '\\']) && word.len() > 1
        || word.contains("::")
        || word.contains("()")
        || word.contains("[]")
}
