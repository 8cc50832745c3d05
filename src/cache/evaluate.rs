//! How the cache would do on labelled questions: the same admission, guards, verifier and budget as
//! a lookup, without a node and without answers.
//!
//! Two protocols. *Pair*: would `text_b` be given the answer to `text_a`? *Stream*: the first member
//! of every class is stored, the others are asked; an answer is right only within the class.

pub mod plot;
pub mod report;
pub mod table;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;

use super::decide::{Budget, Decision, Grounds, decide, is_rival};
use super::embed::{EmbedError, Embedder, Vector};
use super::guard::{Features, Guard};
use super::index::{Neighbour, PartitionIndex, Upkeep};
use super::policy;
use super::semantic::CANDIDATES;
use super::verifier::{self, Head};
use crate::config::routing::IndexKind;
use crate::types::Moment;

use report::{Asked, Outcome, Report};
use table::{Member, Pair};

/// Texts on their way through the embedder at once.
const AT_ONCE: usize = 32;
/// Longest wait for one text.
const EMBED_WITHIN: Duration = Duration::from_secs(30);

/// The cache's judgement, outside a cache.
#[derive(Clone, Debug)]
pub struct Evaluation<'a> {
    /// Makes vectors and rows.
    pub embedder: &'a Embedder,
    /// What an operator allows.
    pub budget: Budget,
}

/// A text, read.
struct Read {
    text: String,
    features: Features,
    vector: Option<Arc<Vector>>,
}

impl Evaluation<'_> {
    /// Every pair by itself, nothing else in the cache.
    ///
    /// # Errors
    /// An embedder that fails.
    pub async fn pairs(&self, pairs: Vec<Pair>) -> Result<Report, EmbedError> {
        let asked = futures::stream::iter(pairs)
            .map(|pair| self.pair(pair))
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        Ok(Report::of(
            &asked.into_iter().collect::<Result<Vec<_>, _>>()?,
        ))
    }

    async fn pair(&self, pair: Pair) -> Result<Asked, EmbedError> {
        let (a, b) = (self.read(pair.a).await?, self.read(pair.b).await?);
        let similarity = a
            .vector
            .as_ref()
            .zip(b.vector.as_ref())
            .map(|(x, y)| x.dot(y));
        let outcome = if pair.same {
            Outcome::Right
        } else {
            Outcome::Wrong
        };
        let served = match similarity {
            _ if a.text == b.text => policy::sensitive(&a.text).is_none(),
            Some(similarity) => admitted(&a, &b) && self.accepts(similarity, &a, &b).await?,
            None => false,
        };
        let tag = pair.tag.unwrap_or_else(|| difference(&a, &b).to_owned());
        Ok(Asked {
            tag,
            answerable: pair.same,
            served: served.then_some(outcome),
            nearest: similarity.map(|similarity| (similarity, outcome)),
        })
    }

    /// The first member of every class is stored, the others are asked, in order.
    ///
    /// # Errors
    /// An embedder that fails.
    pub async fn stream(&self, members: Vec<Member>) -> Result<Report, EmbedError> {
        let mut classes: HashMap<String, usize> = HashMap::new();
        let (mut first, mut others) = (Vec::new(), Vec::new());
        for member in members {
            match classes.entry(member.class.clone()) {
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(first.len());
                    first.push(member);
                }
                std::collections::hash_map::Entry::Occupied(_) => others.push(member),
            }
        }
        let stored = self.store(first).await?;
        let asked = futures::stream::iter(others)
            .map(|member| self.ask(&stored, &classes, member))
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        Ok(Report::of(
            &asked.into_iter().collect::<Result<Vec<_>, _>>()?,
        ))
    }

    async fn store(&self, members: Vec<Member>) -> Result<Stored, EmbedError> {
        let read = futures::stream::iter(members)
            .map(|member| self.read(member.text))
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;
        let index = PartitionIndex::new(self.embedder.dimensions(), Upkeep::new(IndexKind::Flat));
        let mut by_text = HashMap::new();
        for (at, one) in read.iter().enumerate() {
            by_text.entry(one.text.clone()).or_insert(at);
            let kept = policy::keeps_out(&one.text).is_none();
            if let Some(vector) = one.vector.as_ref().filter(|_| kept) {
                index.insert(at as u64, vector.as_slice());
            }
        }
        Ok(Stored {
            read,
            by_text,
            index,
        })
    }

    async fn ask(
        &self,
        stored: &Stored,
        classes: &HashMap<String, usize>,
        member: Member,
    ) -> Result<Asked, EmbedError> {
        let right = classes.get(&member.class).copied();
        let outcome = |at: usize| match Some(at) == right {
            true => Outcome::Right,
            false => Outcome::Wrong,
        };
        let question = self.read(member.text).await?;
        let found = match &question.vector {
            Some(vector) => stored.index.search(vector.as_slice(), CANDIDATES, |_| true),
            None => Vec::new(),
        };
        let places = |near: &Neighbour| usize::try_from(near.label).ok();
        let found: Vec<(usize, f32)> = found
            .iter()
            .filter_map(|near| Some((places(near)?, near.similarity)))
            .collect();
        let identical = stored.by_text.get(&question.text).copied();
        let served = match identical.filter(|_| policy::sensitive(&question.text).is_none()) {
            Some(at) => Some(at),
            None if policy::keeps_out(&question.text).is_some() => None,
            None => self.best(stored, &question, &found).await?,
        };
        Ok(Asked {
            tag: member.tag.unwrap_or_else(|| "all".to_owned()),
            answerable: true,
            served: served.map(outcome),
            nearest: found
                .first()
                .map(|(at, similarity)| (*similarity, outcome(*at))),
        })
    }

    /// The stored question whose answer would be served.
    async fn best(
        &self,
        stored: &Stored,
        question: &Read,
        found: &[(usize, f32)],
    ) -> Result<Option<usize>, EmbedError> {
        for (rank, (at, similarity)) in found.iter().enumerate() {
            let Some(candidate) = stored.read.get(*at) else {
                continue;
            };
            match decide(self.grounds(*similarity, question, candidate), self.budget) {
                Decision::Guarded(_) | Decision::TooRisky | Decision::Ambiguous => continue,
                Decision::TooFar => return Ok(None),
                Decision::Hit | Decision::Unsettled => {}
            }
            let others = found.iter().enumerate().filter(|(other, _)| *other != rank);
            let clear = !others.into_iter().any(|(_, (at, near))| {
                let rival = stored.read.get(*at).map(|rival| (*near, &rival.features));
                rival.is_some_and(|rival| is_rival(*similarity, &question.features, rival))
            });
            let served = clear && self.accepts(*similarity, question, candidate).await?;
            return Ok(served.then_some(*at));
        }
        Ok(None)
    }

    fn grounds<'b>(&self, similarity: f32, a: &'b Read, b: &'b Read) -> Grounds<'b> {
        Grounds {
            similarity,
            a: &a.features,
            b: &b.features,
            verified: None,
        }
    }

    /// By words, and by the verifier where they leave it open.
    async fn accepts(&self, similarity: f32, a: &Read, b: &Read) -> Result<bool, EmbedError> {
        let grounds = self.grounds(similarity, a, b);
        match decide(grounds, self.budget) {
            Decision::Hit => return Ok(true),
            Decision::Unsettled => {}
            Decision::TooFar | Decision::Guarded(_) | Decision::TooRisky | Decision::Ambiguous => {
                return Ok(false);
            }
        }
        let Some(head) = Head::of_space(self.embedder.space()) else {
            return Ok(false);
        };
        let deadline = Moment::now() + EMBED_WITHIN;
        let x = self.embedder.states("", &a.text, deadline).await?;
        let y = self.embedder.states("", &b.text, deadline).await?;
        let measures = x
            .zip(y)
            .and_then(|(x, y)| verifier::measure(similarity, (&a.features, &x), (&b.features, &y)));
        let verified = measures.map(|measures| head.risk(&measures));
        let decision = decide(
            Grounds {
                verified,
                ..grounds
            },
            self.budget,
        );
        Ok(verified.is_some() && decision == Decision::Hit)
    }

    async fn read(&self, text: String) -> Result<Read, EmbedError> {
        let deadline = Moment::now() + EMBED_WITHIN;
        Ok(Read {
            features: Features::of(&text),
            vector: self.embedder.embed(&text, deadline).await?,
            text,
        })
    }
}

/// What the stream protocol put into the cache.
struct Stored {
    read: Vec<Read>,
    by_text: HashMap<String, usize>,
    index: Arc<PartitionIndex>,
}

/// Admission lets both of them be matched by meaning.
fn admitted(a: &Read, b: &Read) -> bool {
    policy::keeps_out(&a.text).is_none() && policy::keeps_out(&b.text).is_none()
}

/// The first guard that objects, as the kind of the pair.
fn difference(a: &Read, b: &Read) -> &'static str {
    Guard::first_conflict(&a.features, &b.features).map_or("none", Guard::as_str)
}
