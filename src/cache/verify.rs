//! Asks the pair verifier about a question and a stored entry. Thin: the judgement is in
//! [`super::verifier`].

use std::sync::Arc;

use super::Inner;
use super::decide::Risk;
use super::embed::States;
use super::entry::Entry;
use super::guard::Features;
use super::verifier::{self, Head};
use crate::types::Moment;

/// The verifier's word on a question and the entry nearest to it, or `None` when it has none: no
/// verifier for this embedder's space, a text too long, no time.
pub(super) async fn verify(
    inner: &Arc<Inner>,
    scope: &str,
    ((text, features), entry): ((&str, &Features), &Entry),
    similarity: f32,
    deadline: Moment,
) -> Option<Risk> {
    let stored = entry.meaning.as_ref()?;
    let states = states(inner, scope, [text, &stored.text], deadline).await?;
    judge(similarity, (features, &stored.features), &states)
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
