//! What goes into the cache and what comes out of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::explain::Explained;
use super::flight::{Follower, Lead};
use super::guard::Features;
use super::key::{EntryId, PairId, PartitionId};
use super::peers::flight::Landing;
use crate::config::routing::CacheConfig;
use crate::dialect::openai::build::Head;
use crate::types::{Chunk, Completion, Finish, ModelName, TenantId, Usage};

/// Bytes of text in one replayed chunk, about; chunks end at character boundaries.
const REPLAY_PIECE: usize = 256;

/// An answer as an upstream gave it, offered for reuse.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Text of choice 0.
    pub text: String,
    /// Why it ended; `None` when it never said.
    pub finish: Option<Finish>,
    /// Token counts.
    pub usage: Usage,
    /// The deployment that answered.
    pub model: ModelName,
    /// The model name the client was shown.
    pub shown_model: String,
    /// It carries anything but plain text of choice 0.
    pub beyond_text: bool,
    /// It arrived whole.
    pub complete: bool,
}

/// A reusable answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// The text.
    pub text: String,
    /// Token counts of the answer when it was made.
    pub usage: Usage,
    /// The deployment that once answered.
    pub model: ModelName,
    /// The model name shown to clients.
    pub shown_model: String,
    /// Unix seconds at which it was made.
    pub created: u64,
}

impl fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoredAnswer {
            text,
            usage,
            model,
            created,
            ..
        } = self;
        write!(
            f,
            "StoredAnswer({} bytes of {model}, {usage:?}, created {created})",
            text.len()
        )
    }
}

impl StoredAnswer {
    /// The answer as one whole `chat.completion`, under a fresh id.
    pub fn completion(&self) -> Completion {
        self.head().completion(
            &self.text,
            &serde_json::Value::Null,
            Finish::Stop,
            self.usage,
        )
    }

    /// The answer as a stream: role, text, finish, and usage when the client asked for it.
    pub fn chunks(&self, include_usage: bool) -> Vec<Chunk> {
        let head = self.head();
        let mut chunks = vec![head.role()];
        chunks.extend(pieces(&self.text).map(|piece| head.text(piece)));
        chunks.push(head.finish(Finish::Stop));
        if include_usage {
            chunks.push(head.usage(self.usage));
        }
        chunks
    }

    fn head(&self) -> Head {
        Head {
            created: self.created,
            ..Head::new(self.shown_model.clone())
        }
    }
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) =
            rest.split_at(rest.floor_char_boundary(REPLAY_PIECE).max(first_char(rest)));
        rest = after;
        Some(piece)
    })
}

fn first_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// Which tier answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// An identical request.
    Exact,
    /// A request of the same meaning.
    Semantic,
}

/// An answer that may be served.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Which tier answered.
    pub tier: Tier,
    /// Cosine of a semantic hit.
    pub similarity: Option<f32>,
    /// The entry, for purging it.
    pub entry: EntryId,
    /// Time since the answer was made.
    pub age: Duration,
    /// The answer came from a request in flight, identical or of the same meaning.
    pub shared: bool,
    /// The answer.
    pub answer: Arc<StoredAnswer>,
    /// Why it is served.
    pub explained: Explained,
    /// What a verdict on a semantic hit is about.
    pub pair: Option<Pair>,
}

/// A question and the entry that answered it; what a verdict is about. Holds no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub(crate) id: PairId,
    pub(crate) entry: EntryId,
    pub(crate) partition: PartitionId,
}

impl Pair {
    /// The entry.
    pub fn entry(&self) -> EntryId {
        self.entry
    }
}

/// A place among the readers of an answer that has begun. Dropping it leaves.
#[derive(Debug)]
pub struct Attached {
    pub(crate) entry: EntryId,
    pub(crate) model: ModelName,
    pub(crate) follower: Follower,
    pub(crate) explained: Explained,
}

impl Attached {
    /// The entry the answer becomes, if it can be stored.
    pub fn entry(&self) -> EntryId {
        self.entry
    }

    /// The deployment that answers.
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// Why it is served.
    pub fn explained(&self) -> Explained {
        self.explained
    }
}

/// What a lookup says.
#[derive(Debug)]
pub enum Lookup {
    /// Not looked, and why: the answer may not be stored either.
    Bypass(&'static str),
    /// Serve this.
    Hit(Hit),
    /// An identical request's answer is running: relay it. Only for a request that asks for a
    /// stream.
    Attached(Attached),
    /// Ask upstream, then hand the ticket back with the answer.
    Miss(Ticket),
}

/// The last user text and what the guards read off it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) text: Arc<str>,
    pub(crate) features: Arc<Features>,
    pub(crate) partition: PartitionId,
}

/// A request's ids among those all tenants share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedIds {
    pub(crate) entry: EntryId,
    /// `None` for requests that are not matched by meaning.
    pub(crate) partition: Option<PartitionId>,
}

/// The right to store one answer. Dropping it unused releases whoever waits for that answer.
pub struct Ticket {
    pub(crate) id: EntryId,
    pub(crate) question: Option<Question>,
    /// What the answer would be under shared ids.
    pub(crate) shared: Option<SharedIds>,
    /// Made during the lookup; missing after a lookup that did not need it.
    pub(crate) vector: Option<Arc<[f32]>>,
    pub(crate) tenant: TenantId,
    pub(crate) tags: Vec<(String, String)>,
    /// Purges the request has seen; later ones apply to its answer.
    pub(crate) epoch: u64,
    pub(crate) config: Box<CacheConfig>,
    pub(crate) lead: Option<Lead>,
    /// Where the owner of its key waits for the entry.
    pub(crate) landing: Option<Landing>,
    /// Why nothing was served.
    pub(crate) explained: Box<Explained>,
}

impl Ticket {
    /// The entry the answer would become.
    pub fn entry(&self) -> EntryId {
        self.id
    }

    /// Why nothing was served.
    pub fn explained(&self) -> &Explained {
        &self.explained
    }

    /// The request's lead over identical ones, taken out to be fed while the answer runs.
    pub(crate) fn take_lead(&mut self) -> Option<Lead> {
        self.lead.take()
    }

    /// Given back, so that the answer lands where it is inserted.
    pub(crate) fn leading(mut self, lead: Lead) -> Self {
        self.lead = Some(lead);
        self
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("id", &self.id)
            .field("semantic", &self.question.is_some())
            .field("embedded", &self.vector.is_some())
            .field("leads", &self.lead.is_some())
            .finish_non_exhaustive()
    }
}

/// What became of an offered answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// The exact tier has it now; the semantic tier and the disk follow within about 100 ms.
    Stored,
    /// Not reusable, and why.
    Refused(&'static str),
}

/// What a purge came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Entries that were taken out, each copy of an answer counted.
    pub removed: u64,
    /// Members of the cluster that could not be reached: what they hold of it is off as soon as they
    /// hear of it.
    pub unreached: Vec<String>,
}

/// What to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Everything.
    All,
    /// One tenant's entries.
    Tenant(TenantId),
    /// Entries whose request carried this tag.
    Tag(String, String),
    /// Answers of this deployment.
    Model(ModelName),
    /// One entry.
    Entry(EntryId),
}

impl Purge {
    /// Reads `name=value`.
    pub fn tagged(tag: &str) -> Option<Self> {
        let (name, value) = tag.split_once('=')?;
        Some(Purge::Tag(name.to_owned(), value.to_owned()))
    }

    /// What the nodes of a cluster call it.
    pub(crate) fn scope(&self) -> String {
        match self {
            Purge::All => "all".to_owned(),
            Purge::Tenant(tenant) => format!("tenant/{}", tenant.as_str()),
            Purge::Tag(name, value) => format!("tag/{name}={value}"),
            Purge::Model(model) => format!("model/{}", model.as_str()),
            Purge::Entry(id) => format!("entry/{id}"),
        }
    }

    /// Reads what [`Purge::scope`] wrote.
    pub(crate) fn of_scope(scope: &str) -> Option<Self> {
        if scope == "all" {
            return Some(Purge::All);
        }
        let (kind, name) = scope.split_once('/')?;
        match kind {
            "tenant" => Some(Purge::Tenant(name.into())),
            "tag" => Purge::tagged(name),
            "model" => Some(Purge::Model(name.into())),
            "entry" => name.parse().ok().map(Purge::Entry),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str) -> StoredAnswer {
        StoredAnswer {
            text: text.to_owned(),
            usage: Usage::new(7, 3),
            model: "m".into(),
            shown_model: "shown".to_owned(),
            created: 42,
        }
    }

    #[test]
    fn a_replayed_stream_carries_the_whole_text_one_finish_and_usage_only_when_asked() {
        let text = "söme löng text ".repeat(100);
        for include_usage in [false, true] {
            let chunks = stored(&text).chunks(include_usage);
            let told: String = chunks.iter().map(|chunk| chunk.tap.text.as_str()).collect();
            assert_eq!(told, text);
            assert_eq!(
                chunks
                    .iter()
                    .filter(|c| c.tap.finish == Some(Finish::Stop))
                    .count(),
                1
            );
            assert_eq!(chunks.iter().any(|c| c.usage_only), include_usage);
        }
    }

    #[test]
    fn a_replayed_answer_keeps_text_model_time_and_usage() {
        let whole = stored("Paris").completion();
        let json: serde_json::Value = serde_json::from_slice(&whole.raw).unwrap();
        assert_eq!(json["choices"][0]["message"]["content"], "Paris");
        assert_eq!(json["model"], "shown");
        assert_eq!(json["created"], 42);
        assert_eq!(json["usage"]["total_tokens"], 10);
    }

    #[test]
    fn debug_shows_no_text() {
        assert!(!format!("{:?}", stored("a secret plan")).contains("plan"));
    }
}
