//! The pair verifier: how likely two questions may share an answer, judged from the embedder's rows
//! of both and from their words. Pure.
//!
//! A small head of two layers over the [`align`] measures and what the guards read off the words.
//! `llm-router-testnet train-verifier` made its weights; `verifier/head.json` holds them with the
//! record of their training. It knows one embedding space; pairs of another space are judged by
//! their words alone.

pub mod align;
mod head;

use super::embed::States;
use super::guard::Features;

pub use head::{Bin, FAR, Head, HeadError, Layer, Shape, Trained};

/// Numbers read off the words of a pair.
const OF_WORDS: usize = 12;
/// Numbers the head looks at.
pub const MEASURES: usize = OF_WORDS + align::MEASURES;

/// What the head looks at.
pub type Measures = [f32; MEASURES];

/// Measures a pair whose cosine is `similarity`; symmetric. `None` when a text is empty or too long to be laid
/// beside the other.
pub fn measure(
    similarity: f32,
    (a, a_states): (&Features, &States),
    (b, b_states): (&Features, &States),
) -> Option<Measures> {
    let mut measures = [0.0; MEASURES];
    let (words, rows) = measures.split_at_mut(OF_WORDS);
    words.copy_from_slice(&of_words(similarity, a, b));
    rows.copy_from_slice(&align::measures(a_states, b_states)?);
    Some(measures)
}

#[expect(clippy::cast_precision_loss, reason = "word counts are small")]
fn of_words(similarity: f32, a: &Features, b: &Features) -> [f32; OF_WORDS] {
    let (shorter, longer) = (
        a.subjects().min(b.subjects()),
        a.subjects().max(b.subjects()),
    );
    let both = (shorter + longer).max(1) as f32;
    let unmatched = a.unmatched(b);
    let flag = |set: bool| f32::from(u8::from(set));
    let [relations, question, tense, person] = a.forms_shared_with(b).map(|same| flag(!same));
    [
        similarity,
        unmatched.min(12) as f32 / 12.0,
        unmatched as f32 / both,
        (longer - shorter) as f32 / longer.max(1) as f32,
        1.0 - a.in_common(b) as f32 / longer.max(1) as f32,
        flag(a.is_reordering_of(b)),
        shorter.min(24) as f32 / 24.0,
        relations,
        question,
        tense,
        person,
        flag(a.is_question() && b.is_question()),
    ]
}
