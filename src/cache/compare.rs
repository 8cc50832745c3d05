//! Why two questions would or would not share an answer, for people.

use std::sync::Arc;

use serde::Serialize;

use super::compact::Compact;
use super::decide::{Decision, Grounds, Risk, decide};
use super::entry::Entry;
use super::guard::{Features, Guard};
use super::index::dot;
use super::learn::record::adjust_probability;
use super::learn::{About, Evidence, NO_ROUTE};
use super::peers::ask::gather;
use super::peers::words::Ask;
use super::semantic::{Candidate, candidates_here, in_order};
use super::{Error, Inner, policy, verify};
use crate::types::{Moment, TenantId, unix_millis};
use std::time::Duration;

/// Most partitions looked through.
const MAX_PARTITIONS: usize = 64;
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
    /// The words left it open and the pair verifier was asked.
    pub verified: bool,
    /// Estimated probability that reusing the answer is right.
    pub probability: f64,
    /// Upper confidence bound of the probability that it is wrong: what is held against the budget.
    pub upper_bound: f64,
    /// `hit` or `miss`.
    pub decision: &'static str,
    /// Why.
    pub reason: String,
    /// The stored entry compared with, when no second text was given.
    pub entry: Option<String>,
    /// The nearest stored entries, when no second text was given.
    pub candidates: Vec<StoredCandidate>,
    /// Routes whose semantic tier is not in good standing: they risk less than was assumed here.
    pub cautious_routes: Vec<CautiousRoute>,
}

/// A route whose semantic tier has lost trust.
#[derive(Clone, Debug, Serialize)]
pub struct CautiousRoute {
    /// The route.
    pub route: String,
    /// `strict`, `probation` or `exact_only`.
    pub tier: &'static str,
}

/// A stored entry near the question. Shows no text.
#[derive(Clone, Debug, Serialize)]
pub struct StoredCandidate {
    /// The entry.
    pub entry: String,
    /// Its cosine.
    pub similarity: f32,
    /// Seconds since its answer was made.
    pub age_s: u64,
    /// Guards that refuse.
    pub refused_by: Vec<Guard>,
    /// Estimated probability that reusing its answer is right, verdicts included.
    pub probability: f64,
    /// What verdicts on it and on its like say.
    pub evidence: Evidence,
    /// The pair was found wrong and never hits again.
    pub vetoed: bool,
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
    let compared = compare_pair(inner, a, b).await?;
    let routes = inner.learner.shown(unix_millis()).routes.into_iter();
    let cautious = routes.filter(|route| route.tier_level > 0);
    Ok(Comparison {
        cautious_routes: cautious
            .map(|route| CautiousRoute {
                route: route.route,
                tier: route.tier,
            })
            .collect(),
        ..compared
    })
}

async fn compare_pair(inner: &Arc<Inner>, a: &str, b: Option<&str>) -> Result<Comparison, Error> {
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
            let similarity = dot(&vector, &other);
            let verified = ask_verifier(inner, similarity, &left, &right).await;
            Ok(inner.judge((similarity, verified), &left, &right))
        }
        None => Ok(stored(inner, &left, &vector).await),
    }
}

struct Side<'a> {
    text: &'a str,
    features: Features,
}

impl Side<'_> {
    fn beside<'b>(
        &'b self,
        other: &'b Side<'_>,
        (similarity, verified): (f32, Option<Risk>),
    ) -> Grounds<'b> {
        Grounds {
            similarity,
            a: &self.features,
            b: &other.features,
            verified,
        }
    }
}

async fn embed(inner: &Inner, text: &str) -> Result<Option<Arc<[f32]>>, Error> {
    let embedder = inner.embedder.as_ref().ok_or(Error::NoEmbedder)?;
    let deadline = Moment::now() + EMBED_WITHIN;
    // an operator's own scope: no tenant id is empty
    Ok(embedder.embed("", text, deadline).await?)
}

/// The verifier's word, where the words alone leave the pair open.
async fn ask_verifier(
    inner: &Arc<Inner>,
    similarity: f32,
    a: &Side<'_>,
    b: &Side<'_>,
) -> Option<Risk> {
    let grounds = a.beside(b, (similarity, None));
    if decide(grounds, inner.budget(&inner.config.load(), None)) != Decision::Unsettled {
        return None;
    }
    let deadline = Moment::now() + EMBED_WITHIN;
    let states = verify::states(inner, "", [a.text, b.text], deadline).await?;
    verify::judge(similarity, (&a.features, &b.features), &states)
}

fn nothing(reason: &str) -> Comparison {
    Comparison {
        similarity: 0.0,
        guards: Vec::new(),
        verified: false,
        probability: 0.0,
        upper_bound: 1.0,
        decision: "miss",
        reason: reason.to_owned(),
        entry: None,
        candidates: Vec::new(),
        cautious_routes: Vec::new(),
    }
}

impl Inner {
    fn judge(
        &self,
        (similarity, verified): (f32, Option<Risk>),
        a: &Side<'_>,
        b: &Side<'_>,
    ) -> Comparison {
        let grounds = a.beside(b, (similarity, verified));
        let guards: Vec<GuardVerdict> = Guard::ALL
            .into_iter()
            .map(|guard| GuardVerdict {
                guard,
                allows: guard.allows(&a.features, &b.features),
            })
            .collect();
        let decision = decide(grounds, self.budget(&self.config.load(), None));
        let kept_out = policy::keeps_out(a.text).or_else(|| policy::keeps_out(b.text));
        let (decision, reason) = match (kept_out, decision) {
            (Some(reason), _) => ("miss", format!("exact tier only: {reason}")),
            (None, Decision::Hit) => ("hit", decision.reason().to_owned()),
            (None, Decision::Guarded(guard)) => ("miss", format!("guard {}", guard.as_str())),
            (
                None,
                Decision::TooFar | Decision::Unsettled | Decision::TooRisky | Decision::Ambiguous,
            ) => ("miss", decision.reason().to_owned()),
        };
        let risk = grounds.risk();
        let guarded = guards.iter().any(|verdict| !verdict.allows);
        let probability = if guarded { 0.0 } else { 1.0 - risk.wrong };
        Comparison {
            similarity,
            guards,
            verified: verified.is_some(),
            probability,
            upper_bound: if guarded { 1.0 } else { risk.upper_bound },
            decision,
            reason,
            entry: None,
            candidates: Vec::new(),
            cautious_routes: Vec::new(),
        }
    }
}

impl Inner {
    /// A stored entry against a question, with what was learnt of the pair.
    fn weigh_stored(
        &self,
        a: &Side<'_>,
        b: &Side<'_>,
        (similarity, verified, entry): (f32, Option<Risk>, &Entry),
        now: u64,
    ) -> Option<(Comparison, StoredCandidate)> {
        let meaning = entry.meaning.as_ref()?;
        let plain = self.judge((similarity, verified), a, b);
        let about = About {
            route: NO_ROUTE,
            partition: meaning.partition,
            entry: entry.id,
        };
        let vetoed = self.learner.is_vetoed(self.keys.pair(entry.id, a.text));
        let evidence = self.learner.evidence(&about, now);
        let wrong = adjust_probability(1.0 - plain.probability, &evidence);
        let bound = adjust_probability(plain.upper_bound, &evidence);
        let too_risky = bound > self.config.load().max_error_rate;
        let (decision, reason) = match plain.decision {
            "hit" if vetoed => ("miss", "vetoed".to_owned()),
            "hit" if too_risky => ("miss", Decision::TooRisky.reason().to_owned()),
            decided => (decided, plain.reason.clone()),
        };
        let refusing = plain.guards.iter().filter(|verdict| !verdict.allows);
        let shown = StoredCandidate {
            entry: entry.id.to_string(),
            similarity,
            age_s: now.saturating_sub(entry.created) / 1000,
            refused_by: refusing.map(|verdict| verdict.guard).collect(),
            probability: 1.0 - wrong,
            evidence,
            vetoed,
            decision,
            reason: reason.clone(),
        };
        let compared = Comparison {
            entry: Some(shown.entry.clone()),
            probability: shown.probability,
            decision,
            reason,
            ..plain
        };
        Some((compared, shown))
    }
}

/// The nearest entries of the default tenant, in whichever of the partitions this node knows, here
/// and on the nodes a look-up would ask.
async fn found(inner: &Arc<Inner>, vector: &Arc<[f32]>) -> Vec<Candidate> {
    let (tenant, now) = (TenantId::default(), unix_millis());
    let partitions = inner.shelf.lock().partitions_of(&tenant, MAX_PARTITIONS);
    let mut found = Vec::new();
    for partition in partitions {
        found.extend(candidates_here(inner, partition, vector, (now, u64::MAX)).await);
        if let Some(peers) = inner.peers().filter(|peers| !peers.is_alone()) {
            let ask = Ask {
                tenant: tenant.clone(),
                partition,
                everyone: None,
                vector: Compact::of(vector),
                space: inner.space().to_owned(),
                least: -1.0,
                ttl_millis: u64::MAX,
                epoch: inner.epochs.epoch(),
            };
            let config = inner.config.load();
            let within = (usize::from(config.probes), config.lookup_budget.get());
            found.extend(gather(inner, peers, ask, vector, within).await.own);
        }
        found = in_order(found);
    }
    found
}

async fn stored(inner: &Arc<Inner>, a: &Side<'_>, vector: &Arc<[f32]>) -> Comparison {
    let now = unix_millis();
    let mut judged: Vec<(Comparison, StoredCandidate)> = Vec::new();
    for candidate in found(inner, vector).await {
        let Candidate {
            entry,
            meaning,
            similarity,
            from: _,
        } = candidate;
        let b = Side {
            text: &meaning.text,
            features: Features::clone(&meaning.features),
        };
        let verified = ask_verifier(inner, similarity, a, &b).await;
        judged.extend(inner.weigh_stored(a, &b, (similarity, verified, &entry), now));
    }
    // the first that would be served, else the nearest
    let best = judged.iter().find(|(one, _)| one.decision == "hit");
    let best = best.or(judged.first()).map(|(one, _)| one.clone());
    Comparison {
        candidates: judged.into_iter().map(|(_, shown)| shown).collect(),
        ..best.unwrap_or_else(|| nothing("nothing stored comes near"))
    }
}
