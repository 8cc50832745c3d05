//! Hard refusals: differences in wording that change the answer however close the vectors are.
//!
//! An embedding hardly notices "not", "20" for "10" or two names changing places. Each [`Guard`]
//! compares [`Features`] read off the two texts beforehand, takes microseconds, and answers yes or
//! no. A conflict is final; what the guards let through is judged by [`super::decide`].

pub mod features;
mod lexicon;
mod numbers;
mod question;
mod words;

use serde::Serialize;

pub use features::Features;

/// Words of content from which a question is a story that can be told another way.
const TERSE: usize = 14;

/// One kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Numbers, versions, dates and arithmetic signs must be the same, in the same order.
    Numbers,
    /// As many of not, never, without and their like, before the same words.
    Negation,
    /// No word on one side with its opposite on the other: enable/disable, safe/unsafe.
    Antonyms,
    /// What stands in quotes must be the same, to the letter.
    Quotes,
    /// Code identifiers, paths and file names must be the same, to the letter.
    Code,
    /// No name on one side that the other lacks.
    Names,
    /// What moves from where to where, before or after what, by or without whom.
    Direction,
    /// What, how, why, when, where, who, whether.
    Question,
    /// Past, present or future.
    Tense,
    /// Mine, yours, his or hers.
    Person,
}

impl Guard {
    /// All guards, in the order they are asked.
    pub const ALL: [Guard; 10] = [
        Guard::Numbers,
        Guard::Negation,
        Guard::Antonyms,
        Guard::Quotes,
        Guard::Code,
        Guard::Names,
        Guard::Direction,
        Guard::Question,
        Guard::Tense,
        Guard::Person,
    ];

    /// The name shown to operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Guard::Numbers => "numbers",
            Guard::Negation => "negation",
            Guard::Antonyms => "antonyms",
            Guard::Quotes => "quotes",
            Guard::Code => "code",
            Guard::Names => "names",
            Guard::Direction => "direction",
            Guard::Question => "question",
            Guard::Tense => "tense",
            Guard::Person => "person",
        }
    }

    /// Whether the two texts may share an answer as far as this guard can see. Symmetric.
    pub fn allows(self, a: &Features, b: &Features) -> bool {
        match self {
            Guard::Numbers => a.numbers.agree(&b.numbers, a.is_rewording_of(b)),
            Guard::Negation if is_terse(a, b) => a.negations == b.negations && a.denied == b.denied,
            Guard::Negation => a.negations == b.negations,
            Guard::Antonyms => !lexicon::opposed(&a.words, &b.words),
            Guard::Quotes => a.quotes == b.quotes,
            Guard::Code => a.code == b.code,
            Guard::Names => names_known(a, b) && names_known(b, a),
            Guard::Direction => {
                told_in_one_direction(a, b) && (is_long(a, b) || a.relations == b.relations)
            }
            Guard::Question => !is_terse(a, b) || a.question == b.question,
            Guard::Tense => !is_terse(a, b) || a.tense == b.tense,
            Guard::Person => !is_terse(a, b) || same_person(a, b),
        }
    }

    /// The first guard that refuses, or `None`.
    pub fn first_conflict(a: &Features, b: &Features) -> Option<Guard> {
        Guard::ALL.into_iter().find(|guard| !guard.allows(a, b))
    }

    /// The first guard that refuses whatever the verifier thinks. The kind of question and a lone
    /// "by" or "or" are what it sees better: "what is a way to" and "how do I" ask the same. But no answer to "can I" is one
    /// to "how can I", and no "when" is a "where".
    pub fn first_firm_conflict(a: &Features, b: &Features) -> Option<Guard> {
        Guard::ALL.into_iter().find(|guard| {
            if *guard == Guard::Question {
                is_terse(a, b) && a.question.firm_kind() != b.question.firm_kind()
            } else if *guard == Guard::Direction {
                !told_in_one_direction(a, b)
            } else {
                !guard.allows(a, b)
            }
        })
    }
}

impl Features {
    /// Whether relations (before, by, than …), the kind of question, tense and persons are the same.
    pub fn forms_shared_with(&self, other: &Features) -> [bool; 4] {
        [
            self.relations == other.relations,
            self.question == other.question,
            self.tense == other.tense,
            same_person(self, other),
        ]
    }
}

/// Every name of `a` occurs in `b`, as a name or not.
fn names_known(a: &Features, b: &Features) -> bool {
    a.names.iter().all(|name| b.content.contains(name))
}

fn same_direction(a: &Features, b: &Features) -> bool {
    let governed_alike = a.governed.iter().all(|(word, ways)| {
        b.governed
            .get(word)
            .is_none_or(|others| others.is_empty() || ways.is_empty() || others == ways)
    });
    // the vectors hardly see word order, and around a direction word it is the meaning
    let directed = a.directed || b.directed;
    let reordered = a.is_reordering_of(b);
    let names_reordered = reordered && a.names_in_order(b) != b.names_in_order(a);
    governed_alike && !names_reordered && (!directed || !reordered)
}

fn told_in_one_direction(a: &Features, b: &Features) -> bool {
    a.is_rewording_of(b) || same_direction(a, b)
}

fn is_long(a: &Features, b: &Features) -> bool {
    a.subjects().min(b.subjects()) >= TERSE
}

/// Statements and long texts tell the same in other forms; a short question is its form.
fn is_terse(a: &Features, b: &Features) -> bool {
    a.is_question() && b.is_question() && !is_long(a, b)
}

fn same_person(a: &Features, b: &Features) -> bool {
    // "your favourite" asks about the one addressed; "my password" and "a password" are alike
    let addressed = a.owners.contains(&features::Person::Second)
        || b.owners.contains(&features::Person::Second);
    let one_unowned = a.owners.is_empty() || b.owners.is_empty();
    let generic = a.question.is_about_anyone() && b.question.is_about_anyone();
    let owners_agree = a.owners == b.owners || !addressed && one_unowned || generic;
    // "how do I" and "how do you" ask the same; "am I" and "are you" do not
    let mixed = a.persons.len() > 1 || b.persons.len() > 1;
    let one_open = a.persons.is_empty() || b.persons.is_empty();
    let persons_agree = a.persons == b.persons || !mixed && (generic || one_open);
    let exchanged = a.cast.len() > 1 && b.cast.len() > 1 && a.cast != b.cast;
    a.third_persons == b.third_persons && owners_agree && persons_agree && !exchanged
}

#[cfg(test)]
mod tests;
