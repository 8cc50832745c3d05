//! What kind of answer a text asks for.

use std::collections::BTreeSet;

use super::words::Token;

/// What is asked for. Requests ("Explain …", "List …") count as [`Ask::What`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    What,
    Who,
    When,
    Where,
    Why,
    How,
    Whether,
}

/// What may or should be done. Says nothing inside a how-question ("how can I", "how should I").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Modal {
    Possible,
    Advised,
    Conditional,
}

/// The kind of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    asks: BTreeSet<Ask>,
    modals: BTreeSet<Modal>,
}

impl Question {
    /// What is left of the kind where "what" and "how" are taken for one: they often ask the same in
    /// other words, while a time, a place, a person, a reason and a yes or no never stand for
    /// something else.
    pub(super) fn firm_kind(&self) -> (bool, BTreeSet<Ask>) {
        let firm = [Ask::When, Ask::Where, Ask::Who, Ask::Why];
        let asks = self.asks.iter().copied().filter(|ask| firm.contains(ask));
        (self.asks.iter().eq([&Ask::Whether]), asks.collect())
    }

    /// "Where can you", "why do we", "how do I" ask about anyone.
    pub(super) fn is_about_anyone(&self) -> bool {
        let personal = [Ask::What, Ask::Who, Ask::Whether];
        !self.asks.iter().any(|ask| personal.contains(ask))
    }
}

/// A question mark, or a question word or an order at the front: not a plain statement.
pub(super) fn asks(text: &str, tokens: &[Token]) -> bool {
    const OPENERS: [&str; 30] = [
        "what",
        "who",
        "whom",
        "whose",
        "which",
        "when",
        "where",
        "why",
        "how",
        "is",
        "are",
        "can",
        "could",
        "should",
        "does",
        "do",
        "did",
        "will",
        "explain",
        "describe",
        "define",
        "tell",
        "list",
        "give",
        "write",
        "find",
        "calculate",
        "compare",
        "translate",
        "convert",
    ];
    text.contains('?')
        || tokens
            .first()
            .is_some_and(|first| OPENERS.contains(&first.text.as_str()))
}

pub(super) fn question(tokens: &[Token]) -> Question {
    let mut asks = BTreeSet::new();
    let mut modals = BTreeSet::new();
    for (at, token) in tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !token.is_shouted())
    {
        let next = tokens.get(at + 1).map_or("", |token| token.text.as_str());
        match token.text.as_str() {
            "what" | "which" => _ = asks.insert(Ask::What),
            "who" | "whom" | "whose" => _ = asks.insert(Ask::Who),
            "when" => _ = asks.insert(Ask::When),
            "where" => _ = asks.insert(Ask::Where),
            "why" => _ = asks.insert(Ask::Why),
            "how" => _ = asks.insert(Ask::How),
            "way" | "ways" if next == "to" => {
                asks.remove(&Ask::What);
                asks.insert(Ask::How);
            }
            "can" | "could" | "may" | "might" => _ = modals.insert(Modal::Possible),
            "should" | "must" | "ought" => _ = modals.insert(Modal::Advised),
            "would" => _ = modals.insert(Modal::Conditional),
            _ => {}
        }
    }
    const OPENERS: [&str; 22] = [
        "is", "are", "am", "was", "were", "do", "does", "did", "can", "could", "should", "will",
        "would", "has", "have", "had", "may", "might", "must", "shall", "whether", "if",
    ];
    if tokens
        .first()
        .is_some_and(|first| OPENERS.contains(&first.text.as_str()))
    {
        asks.insert(Ask::Whether);
    }
    if asks.is_empty() {
        asks.insert(Ask::What);
    }
    reworded(tokens, &mut asks);
    if asks.contains(&Ask::How) {
        modals.clear();
    }
    Question { asks, modals }
}

/// Wordings that ask one thing in the form of another.
fn reworded(tokens: &[Token], asks: &mut BTreeSet<Ask>) {
    let has = |words: &[&str]| {
        tokens
            .iter()
            .any(|token| words.contains(&token.text.as_str()))
    };
    // "how does X differ from Y" is "what is the difference"
    if has(&[
        "differ",
        "differs",
        "different",
        "difference",
        "differences",
    ]) && asks.remove(&Ask::How)
    {
        asks.insert(Ask::What);
    }
    // "what is the reason that" and "what causes" are "why"
    if has(&["reason", "reasons", "cause", "causes"]) && asks.remove(&Ask::What) {
        asks.insert(Ask::Why);
    }
    // "what should I do to" is "how do I"
    let does = tokens.windows(4).any(|four| {
        let word = |at: usize| four[at].text.as_str();
        matches!(word(0), "should" | "can" | "could" | "must" | "do")
            && matches!(word(1), "i" | "we" | "you" | "one" | "someone")
            && (word(2), word(3)) == ("do", "to")
    });
    if does && asks.remove(&Ask::What) {
        asks.insert(Ask::How);
    }
    // "…, and why?" asks for the grounds of the same answer
    if asks.len() > 1 && tokens.last().is_some_and(|last| last.text == "why") {
        asks.remove(&Ask::Why);
    }
}
