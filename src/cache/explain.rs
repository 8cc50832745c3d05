//! Why an answer was served, or why the nearest one was not. Shows no text.

use std::fmt;

use serde::Serialize;

use super::key::EntryId;
use super::learn::{Evidence, TierState};

/// The semantic tier's judgement of one stored entry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Weighed {
    /// The entry; shown as 32 hexadecimal digits.
    #[serde(serialize_with = "as_text")]
    pub entry: EntryId,
    /// Cosine of the two questions.
    pub similarity: f32,
    /// Estimated probability that reusing the answer is right, in [0, 1]; 0 when a guard refuses.
    pub probability: f64,
    /// What is held against the budget: the upper confidence bound of being wrong, in [0, 1].
    pub upper_bound: f64,
    /// The share of wrong answers tolerated at that moment, in [0, 1].
    pub tolerated: f64,
    /// What verdicts on it and on its like say.
    pub evidence: Evidence,
    /// The guard that refuses.
    pub guard: Option<&'static str>,
    /// The estimate is the pair verifier's; else it is made from the words alone.
    pub verified: bool,
}

/// What a lookup decided, and on what grounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// What the semantic tier of the route was allowed.
    pub tier: TierState,
    /// In words.
    pub reason: &'static str,
    /// The entry served, or the nearest of those that were not. Missing where only the exact tier
    /// looked, or nothing came near.
    pub nearest: Option<Weighed>,
}

impl Explained {
    /// Of two refusals the one about the nearer entry.
    pub(crate) fn or_nearer(self, other: Explained) -> Explained {
        let similarity = |of: &Explained| of.nearest.map_or(f32::MIN, |near| near.similarity);
        match similarity(&other) > similarity(&self) {
            true => other,
            false => self,
        }
    }

    /// Grounds that need no entry to be weighed.
    pub(crate) const fn plain(tier: TierState, reason: &'static str) -> Self {
        Explained {
            tier,
            reason,
            nearest: None,
        }
    }
}

impl fmt::Display for Explained {
    /// Compact and ASCII, for a header: `reason; name=value; …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if let Some(near) = &self.nearest {
            match near.guard {
                Some(guard) => write!(f, "; guard={guard}")?,
                None => write!(f, "; guards=passed")?,
            }
            write!(
                f,
                "; similarity={:.4}; verified={}; probability={:.4}; risk={:.4}/{:.4}; evidence={:.2}/{:.2}",
                near.similarity,
                near.verified,
                near.probability,
                near.upper_bound,
                near.tolerated,
                near.evidence.wrong,
                near.evidence.wrong + near.evidence.right,
            )?;
        }
        write!(f, "; tier={}", self.tier.as_str())
    }
}

fn as_text<S: serde::Serializer>(id: &EntryId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
