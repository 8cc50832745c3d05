//! Asks the pair verifier about a question and a stored entry. Thin: the judgement is in
//! [`super::verifier`].

use std::sync::Arc;

use super::Inner;
use super::answer::Question;
use super::decide::Risk;
use super::embed::States;
use super::guard::Features;
use super::semantic::Candidate;
use super::verifier::{self, Head};
use crate::types::Moment;

/// Word pieces of one text times those of the other that an async thread may lay beside each other
/// itself, some 50 µs; longer pairs are laid elsewhere.
const INLINE_PIECES: usize = 1024;

/// The verifier's word on a question and the entry nearest to it, or `None` when it has none: no
/// verifier for this embedder's space, a text too long, no time.
pub(super) async fn verify(
    inner: &Arc<Inner>,
    (scope, deadline): (&str, Moment),
    question: &Question,
    candidate: &Candidate,
) -> Option<Risk> {
    let (similarity, stored) = (candidate.similarity, &candidate.meaning);
    let states = states(inner, scope, [&question.text, &stored.text], deadline).await?;
    let [a, b] = &states;
    if a.tokens.len() * b.tokens.len() <= INLINE_PIECES {
        return judge(similarity, (&question.features, &stored.features), &states);
    }
    let features = (Arc::clone(&question.features), Arc::clone(&stored.features));
    let judging = inner
        .tasks
        .spawn_blocking(move || judge(similarity, (&features.0, &features.1), &states));
    judging.await.ok().flatten()
}

/// Both texts' rows, made side by side.
pub(super) async fn states(
    inner: &Arc<Inner>,
    scope: &str,
    [a, b]: [&str; 2],
    deadline: Moment,
) -> Option<[Arc<States>; 2]> {
    let embedder = inner.embedder.as_ref()?;
    Head::of_space(embedder.space())?;
    let (a, b) = tokio::join!(
        embedder.states(scope, a, deadline),
        embedder.states(scope, b, deadline)
    );
    Some([a.ok()??, b.ok()??])
}

/// The judgement itself.
pub(super) fn judge(
    similarity: f32,
    (a, b): (&Features, &Features),
    [a_states, b_states]: &[Arc<States>; 2],
) -> Option<Risk> {
    let measures = verifier::measure(similarity, (a, a_states), (b, b_states))?;
    Head::shipped().map(|head| head.risk(&measures))
}
