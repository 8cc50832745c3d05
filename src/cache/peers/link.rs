//! The other nodes' caches, as one node reaches them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use llm_router_cluster::MemberId;
use llm_router_cluster::placement::Cells;
use tokio::sync::mpsc;

use super::words::{
    Ask, Compared, FlyAsk, FlyWord, Group, Kept, Offered, Parcel, Sampled, Seen, Stand, Told,
    Wanted,
};
use crate::cache::answer::Purge;
use crate::cache::epochs::Table;
use crate::cache::key::EntryId;

/// A node gave no answer: it cannot be reached, was too slow, or refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It did not say anything in time.
    #[error("no answer in time")]
    Late,
    /// It cannot be reached, or refuses.
    #[error("{0}")]
    Unreached(String),
}

impl Unanswered {
    /// In one word, for traces.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Unanswered::Late => "late",
            Unanswered::Unreached(_) => "unreached",
        }
    }
}

/// The members as this node knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// Those that are there, this node among them.
    pub(crate) alive: Vec<MemberId>,
    /// All of them, by name.
    pub(crate) names: BTreeMap<MemberId, String>,
}

/// The cluster as a cache reaches it.
#[async_trait]
pub(crate) trait Link: fmt::Debug + Send + Sync + 'static {
    /// This node.
    fn me(&self) -> MemberId;
    /// Who is there.
    fn members(&self) -> Members;
    /// This node leads.
    fn leads(&self) -> bool;
    /// Time since a leader with a quorum was last heard of.
    fn last_contact(&self) -> Option<Duration>;
    /// A leader is heard of, and what it has agreed on is here.
    fn keeps_up(&self) -> bool;
    /// What is agreed to be called off.
    fn epochs(&self) -> Table;
    /// How often something was called off: cheap to ask.
    fn epoch(&self) -> u64;
    /// The agreed cells of a space.
    fn cells(&self, space: &str) -> Option<Arc<Cells>>;
    /// An item after every change of what is agreed, the first at once.
    fn changes(&self) -> BoxStream<'static, ()>;
    /// Agrees on calling something off; the epoch it is.
    async fn call_off(&self, purge: &Purge) -> Result<u64, llm_router_cluster::Error>;
    /// Agrees on other cells in the place of those of this epoch.
    async fn recell(
        &self,
        expected: Option<u64>,
        cells: &Cells,
    ) -> Result<(), llm_router_cluster::Error>;

    /// Asks for entries near a vector.
    async fn look(&self, to: MemberId, ask: &Ask, within: Duration) -> Result<Seen, Unanswered>;
    /// Asks the owner of an exact key. What is sent through `told` reaches it as long as the answer
    /// is read.
    async fn fly(
        &self,
        to: MemberId,
        ask: FlyAsk,
        told: mpsc::Receiver<Told>,
        within: Duration,
    ) -> Result<BoxStream<'static, FlyWord>, Unanswered>;
    /// Sends entries to keep, and names entries that were served here.
    async fn put(
        &self,
        to: MemberId,
        parcels: Vec<Parcel>,
        used: Vec<EntryId>,
        repair: bool,
    ) -> Result<Kept, Unanswered>;
    /// Asks which entries a node lacks.
    async fn offer(&self, to: MemberId, entries: Vec<Offered>) -> Result<Wanted, Unanswered>;
    /// Asks which groups are other ones on a node.
    async fn compare(
        &self,
        to: MemberId,
        placement: u64,
        groups: Vec<Group>,
    ) -> Result<Compared, Unanswered>;
    /// Asks how far a node is, at the latest once it has forgotten what was called off up to `epoch`.
    async fn stand(&self, to: MemberId, epoch: u64, within: Duration) -> Result<Stand, Unanswered>;
    /// Asks for some of a node's vectors.
    async fn sample(&self, to: MemberId, space: &str, most: u32) -> Result<Sampled, Unanswered>;
}
