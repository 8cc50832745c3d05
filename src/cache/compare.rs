//! Why two questions would or would not share an answer, for people.

use std::sync::Arc;

use serde::Serialize;

use super::decide::{Budget, Decision, decide, estimated_error};
use super::entry::Entry;
use super::guard::{Features, Guard};
use super::index::dot;
use super::lookup::{CANDIDATES, nearest};
use super::{Error, Inner, policy};
use crate::types::{Moment, TenantId, unix_millis};
use std::time::Duration;

/// Longest wait for the vectors.
const EMBED_WITHIN: Duration = Duration::from_secs(5);

/// What one guard says about a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GuardVerdict {
    /// The guard.
    pub guard: Guard,
    /// It has no objection.
    pub allows: bool,
}

/// How two questions compare.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Their cosine; 0 when there is nothing to compare with.
    pub similarity: f32,
    /// Every guard's verdict.
    pub guards: Vec<GuardVerdict>,
    /// Estimated probability that reusing the answer is right.
    pub probability: f64,
    /// `hit` or `miss`.
    pub decision: &'static str,
    /// Why.
    pub reason: String,
    /// The stored entry compared with, when no second text was given.
    pub entry: Option<String>,
    /// The nearest stored entries, when no second text was given.
    pub candidates: Vec<StoredCandidate>,
}

/// A stored entry near the question. Shows no text.
#[derive(Clone, Debug, Serialize)]
pub struct StoredCandidate {
    /// The entry.
    pub entry: String,
    /// Its cosine.
    pub similarity: f32,
    /// Estimated probability that reusing its answer is right.
    pub probability: f64,
    /// `hit` or `miss`.
    pub decision: &'static str,
    /// Why.
    pub reason: String,
}

pub(super) async fn compare(
    inner: &Arc<Inner>,
    a: &str,
    b: Option<&str>,
) -> Result<Comparison, Error> {
    let Some(vector) = embed(inner, a).await? else {
        return Ok(nothing("the text is too long"));
    };
    let left = Side {
        text: a,
        features: Features::of(a),
    };
    match b {
        Some(b) => {
            let Some(other) = embed(inner, b).await? else {
                return Ok(nothing("the second text is too long"));
            };
            let right = Side {
                text: b,
                features: Features::of(b),
            };
            Ok(inner.judge(dot(&vector, &other), &left, &right))
        }
        None => Ok(stored(inner, &left, &vector).await),
    }
}

struct Side<'a> {
    text: &'a str,
    features: Features,
}

async fn embed(inner: &Inner, text: &str) -> Result<Option<Arc<[f32]>>, Error> {
    let embedder = inner.embedder.as_ref().ok_or(Error::NoEmbedder)?;
    let deadline = Moment::now() + EMBED_WITHIN;
    // an operator's own scope: no tenant id is empty
    Ok(embedder.embed("", text, deadline).await?)
}

fn nothing(reason: &str) -> Comparison {
    Comparison {
        similarity: 0.0,
        guards: Vec::new(),
        probability: 0.0,
        decision: "miss",
        reason: reason.to_owned(),
        entry: None,
        candidates: Vec::new(),
    }
}

impl Inner {
    fn judge(&self, similarity: f32, a: &Side<'_>, b: &Side<'_>) -> Comparison {
        let budget = Budget::from(&**self.config.load());
        let guards: Vec<GuardVerdict> = Guard::ALL
            .into_iter()
            .map(|guard| GuardVerdict {
                guard,
                allows: guard.allows(&a.features, &b.features),
            })
            .collect();
        let decision = decide(similarity, &a.features, &b.features, budget);
        let kept_out = policy::keeps_out(a.text).or_else(|| policy::keeps_out(b.text));
        let (decision, reason) = match (kept_out, decision) {
            (Some(reason), _) => ("miss", format!("exact tier only: {reason}")),
            (None, Decision::Hit) => ("hit", decision.reason().to_owned()),
            (None, Decision::Guarded(guard)) => ("miss", format!("guard {}", guard.as_str())),
            (None, Decision::TooFar | Decision::TooRisky) => ("miss", decision.reason().to_owned()),
        };
        let error = estimated_error(similarity, &a.features, &b.features);
        let guarded = guards.iter().any(|verdict| !verdict.allows);
        let probability = if guarded { 0.0 } else { 1.0 - error };
        Comparison {
            similarity,
            guards,
            probability,
            decision,
            reason,
            entry: None,
            candidates: Vec::new(),
        }
    }
}

/// The nearest entries of the default tenant, whatever partition they are in.
async fn stored(inner: &Arc<Inner>, a: &Side<'_>, vector: &Arc<[f32]>) -> Comparison {
    let indexes = inner.shelf.lock().indexes();
    let mut found: Vec<(f32, Arc<Entry>)> = Vec::new();
    let (tenant, now) = (TenantId::default(), unix_millis());
    for index in indexes {
        for near in nearest(inner, index, vector).await {
            let entry = inner.shelf.lock().by_serial(near.label);
            let entry =
                entry.filter(|entry| entry.tenant == tenant && entry.is_fresh(now, u64::MAX));
            found.extend(entry.map(|entry| (near.similarity, entry)));
        }
        found.sort_by(|x, y| y.0.total_cmp(&x.0));
        found.truncate(CANDIDATES);
    }
    let judged: Vec<Comparison> = found
        .into_iter()
        .filter_map(|(similarity, entry)| {
            let meaning = entry.meaning.as_ref()?;
            let b = Side {
                text: &meaning.text,
                features: Features::clone(&meaning.features),
            };
            Some(Comparison {
                entry: Some(entry.id.to_string()),
                ..inner.judge(similarity, a, &b)
            })
        })
        .collect();
    let candidates = judged
        .iter()
        .map(|one| StoredCandidate {
            entry: one.entry.clone().unwrap_or_default(),
            similarity: one.similarity,
            probability: one.probability,
            decision: one.decision,
            reason: one.reason.clone(),
        })
        .collect();
    // the first that would be served, else the nearest
    let best = judged
        .iter()
        .find(|one| one.decision == "hit")
        .or(judged.first())
        .cloned();
    Comparison {
        candidates,
        ..best.unwrap_or_else(|| nothing("nothing stored comes near"))
    }
}
