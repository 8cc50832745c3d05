//! Cuts English text into tokens and words into stems. Crude on purpose: two words count as the
//! same only when plain suffix rules say so.

/// One word, number or sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Lower case, apostrophes resolved.
    pub(super) text: String,
    /// As written.
    pub(super) written: String,
    /// The first word of a sentence.
    pub(super) starts_sentence: bool,
}

impl Token {
    pub(super) fn is_number(&self) -> bool {
        self.text.starts_with(|c: char| c.is_numeric())
    }

    /// Two or more capitals and nothing else: `US`, `2FA` is a number's business.
    pub(super) fn is_shouted(&self) -> bool {
        let letters: Vec<char> = self.written.chars().filter(|c| c.is_alphabetic()).collect();
        letters.len() >= 2 && letters.iter().all(|c| c.is_uppercase())
    }

    pub(super) fn is_capitalised(&self) -> bool {
        self.written.starts_with(char::is_uppercase)
    }
}

/// Signs that are tokens of their own where arithmetic, money or comparison is meant.
const SIGNS: &str = "+-*/=<>^%$€£¥×÷±≤≥≠";

/// Cuts `text` into tokens. Numbers keep their inner `.`, `,` is dropped from them; a unit glued to a
/// number becomes its own token.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let text = text.replace(['’', '‘', '`'], "'");
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut starts) = (0, true);
    while at < chars.len() {
        let here = chars[at];
        let end = match here {
            c if c.is_numeric() => number_end(&chars, at),
            c if c.is_alphabetic() => word_end(&chars, at),
            _ => at + 1,
        };
        let written: String = chars[at..end].iter().collect();
        if here.is_numeric() {
            tokens.push(Token {
                text: written.replace(',', ""),
                written,
                starts_sentence: starts,
            });
            starts = false;
        } else if here.is_alphabetic() {
            push_word(&written, starts, &mut tokens);
            starts = false;
        } else if SIGNS.contains(here) && counts_as_sign(&chars, at) {
            tokens.push(Token {
                text: written.clone(),
                written,
                starts_sentence: false,
            });
        } else if ".?!:\n".contains(here) {
            starts = true;
        }
        at = end;
    }
    tokens
}

fn number_end(chars: &[char], start: usize) -> usize {
    let mut at = start;
    while at < chars.len() {
        let inner = matches!(chars[at], '.' | ',' | ':')
            && chars.get(at + 1).is_some_and(|next| next.is_numeric());
        if !chars[at].is_numeric() && !inner {
            break;
        }
        at += 1;
    }
    at
}

fn word_end(chars: &[char], start: usize) -> usize {
    let mut at = start;
    while at < chars.len() {
        let inner = chars[at] == '\'' && chars.get(at + 1).is_some_and(|next| next.is_alphabetic());
        if !chars[at].is_alphabetic() && !inner {
            break;
        }
        at += 1;
    }
    // C++, C#, F#: the sign belongs to the name
    while at < chars.len() && at - start <= 3 && matches!(chars[at], '+' | '#') {
        at += 1;
    }
    at
}

/// A sign counts unless it is a hyphen or slash between words, or a dash in prose.
fn counts_as_sign(chars: &[char], at: usize) -> bool {
    let before = chars[..at].iter().rev().find(|c| !c.is_whitespace());
    let after = chars[at + 1..].iter().find(|c| !c.is_whitespace());
    match chars[at] {
        '-' | '/' | '*' => {
            before.is_none_or(|c| !c.is_alphabetic())
                && after.is_some_and(|c| c.is_numeric() || *c == '(')
                || before.is_some_and(|c| c.is_numeric()) && after.is_some_and(|c| c.is_numeric())
        }
        _ => true,
    }
}

/// Resolves contractions: `don't` is `do not`, `what's` is `what`, `I'll` is `I will`.
fn push_word(written: &str, starts: bool, tokens: &mut Vec<Token>) {
    let lower = written.to_lowercase();
    let mut push = |text: &str, starts_sentence: bool| {
        tokens.push(Token {
            text: text.to_owned(),
            written: written.to_owned(),
            starts_sentence,
        });
    };
    let stem_before_not = match lower.as_str() {
        "can't" | "cannot" | "cant" => Some("can"),
        "won't" | "wont" => Some("will"),
        "shan't" => Some("shall"),
        "dont" => Some("do"),
        "doesnt" => Some("does"),
        "didnt" => Some("did"),
        "isnt" => Some("is"),
        "arent" => Some("are"),
        "wasnt" => Some("was"),
        "shouldnt" => Some("should"),
        "couldnt" => Some("could"),
        "wouldnt" => Some("would"),
        other => other.strip_suffix("n't"),
    };
    if let Some(stem) = stem_before_not {
        push(stem, starts);
        push("not", false);
        return;
    }
    let bare = match lower.as_str() {
        "whats" => "what",
        "hows" => "how",
        "wheres" => "where",
        "whos" => "who",
        "im" => "i",
        other => other,
    };
    match bare.split_once('\'') {
        Some((word, "ll")) => {
            push(word, starts);
            push("will", false);
        }
        Some((word, "s" | "re" | "ve" | "m" | "d")) => push(word, starts),
        Some(_) => push(&bare.replace('\'', ""), starts),
        None => push(bare, starts),
    }
}

/// Words that look inflected and are not.
const WHOLE: [&str; 30] = [
    "news",
    "less",
    "thing",
    "king",
    "ring",
    "spring",
    "string",
    "during",
    "bed",
    "red",
    "need",
    "feed",
    "speed",
    "species",
    "series",
    "this",
    "gas",
    "bus",
    "lens",
    "always",
    "plus",
    "versus",
    "physics",
    "mathematics",
    "hardly",
    "only",
    "lately",
    "nearly",
    "evening",
    "morning",
];

/// The stem: plural, -ing, -ed and -ly taken off, final e dropped.
pub(super) fn stem(word: &str) -> String {
    if word.len() < 4 || WHOLE.contains(&word) || !word.is_ascii() {
        return word.to_owned();
    }
    let singular = strip_plural(word);
    let base = ["ing", "ed", "ly"]
        .into_iter()
        .find_map(|suffix| strip(&singular, suffix))
        .unwrap_or(singular);
    match base.strip_suffix('e') {
        Some(short) if short.len() >= 3 => short.to_owned(),
        Some(_) | None => base,
    }
}

fn strip_plural(word: &str) -> String {
    if let Some(base) = word.strip_suffix("ies").filter(|base| base.len() >= 2) {
        return format!("{base}y");
    }
    for suffix in ["sses", "shes", "ches", "xes", "zes"] {
        if word.ends_with(suffix) {
            return word[..word.len() - 2].to_owned();
        }
    }
    let kept = ["ss", "us", "is", "as", "os"]
        .iter()
        .any(|end| word.ends_with(end));
    match word.strip_suffix('s') {
        Some(base) if !kept => base.to_owned(),
        Some(_) | None => word.to_owned(),
    }
}

fn strip(word: &str, suffix: &str) -> Option<String> {
    let base = word.strip_suffix(suffix)?;
    let has_vowel = base.contains(['a', 'e', 'i', 'o', 'u', 'y']);
    if base.len() < 3 || !has_vowel || base.ends_with('e') && suffix == "ed" {
        return None;
    }
    let bytes = base.as_bytes();
    let doubled = bytes[bytes.len() - 1] == bytes[bytes.len() - 2];
    let undouble = doubled && suffix != "ly" && !base.ends_with(['l', 's', 'z']);
    Some(if undouble {
        base[..base.len() - 1].to_owned()
    } else {
        base.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn different_words_keep_different_stems() {
        for (a, b) in [
            ("hard", "hardly"),
            ("new", "news"),
            ("spring", "spr"),
            ("fast", "fastest"),
            ("less", "les"),
        ] {
            assert_ne!(stem(a), stem(b), "{a} {b}");
        }
    }

    #[test]
    fn inflections_share_a_stem() {
        for (a, b) in [
            ("exercise", "exercising"),
            ("regular", "regularly"),
            ("city", "cities"),
            ("stop", "stopped"),
            ("box", "boxes"),
            ("class", "classes"),
            ("install", "installing"),
            ("create", "created"),
        ] {
            assert_eq!(stem(a), stem(b), "{a} {b}");
        }
    }

    #[test]
    fn numbers_units_signs_and_contractions_come_apart() {
        assert_eq!(texts("10kg"), ["10", "kg"]);
        assert_eq!(texts("1,000.5 > 3"), ["1000.5", ">", "3"]);
        assert_eq!(texts("2-2"), ["2", "-", "2"]);
        assert_eq!(texts("2 + 2"), ["2", "+", "2"]);
        assert_eq!(texts("well-known and/or"), ["well", "known", "and", "or"]);
        assert_eq!(
            texts("I don’t, she can't, what's"),
            ["i", "do", "not", "she", "can", "not", "what"]
        );
        assert_eq!(texts("C++ or C#?"), ["c++", "or", "c#"]);
    }
}
