//! The use cases on what the nodes agree on: the routing config, its history, the members. Both
//! doors offer them; [`super::Node`] holds them.

use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::{Author, Consistency, Handle, Order, Revision, Status};
use serde::Serialize;
use tokio::sync::watch;

use crate::config::RoutingConfig;
use crate::error::Error;
use crate::inference::Engine;

/// How long a change may take: an election fits, a client that waits does not give up.
pub const CHANGE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a read waits for a revision the caller has seen.
pub const READ_PATIENCE: Duration = Duration::from_secs(2);

/// The use cases. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Agreed {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cluster: Handle,
    engine: Engine,
    service: watch::Receiver<Service>,
}

/// Which agreed config is in service on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its revision; 0 while it is the node's own default.
    pub revision: Revision,
    /// Why a newer one is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Unserved>,
}

/// An agreed config that this node cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unserved {
    /// Its revision.
    pub revision: Revision,
    /// Why, without secrets.
    pub reason: String,
}

/// A config and its revision; secrets are references or dots.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigShown {
    /// The revision; 0 while nothing is agreed and the node serves its default.
    pub revision: Revision,
    /// The routing part.
    pub config: Arc<RoutingConfig>,
}

/// One revision of the past, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Past {
    /// Its number.
    pub revision: Revision,
    /// Wall-clock milliseconds when it was made.
    pub at_ms: u64,
    /// Who made it.
    pub by: String,
    /// Where it came from.
    pub note: String,
}

/// One difference between two configs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where, as `models.a.max_concurrency`.
    pub path: String,
    /// What was there, as JSON; absent when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What is there; absent when it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// How the node stands in its cluster, and what it does meanwhile.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterShown {
    /// As the cluster says it.
    #[serde(flatten)]
    pub status: Status,
    /// The config in service here.
    pub service: Service,
}

#[expect(
    unused_variables,
    clippy::unimplemented,
    clippy::unused_async,
    reason = "signatures first: the gRPC door is written against them"
)]
impl Agreed {
    /// The use cases of a node.
    pub fn new(cluster: Handle, engine: Engine, service: watch::Receiver<Service>) -> Self {
        Agreed {
            inner: Arc::new(Inner {
                cluster,
                engine,
                service,
            }),
        }
    }

    /// The node's way into its cluster.
    pub fn handle(&self) -> &Handle {
        &self.inner.cluster
    }

    /// Revision of the agreed config in service here; 0 for the node's default.
    pub fn revision(&self) -> Revision {
        self.inner.service.borrow().revision
    }

    /// No leader with a quorum is heard of: what is agreed may be newer elsewhere.
    pub fn is_isolated(&self) -> bool {
        !self.inner.cluster.is_connected()
    }

    /// Waits until at least this revision is in service here.
    ///
    /// # Errors
    /// [`crate::Kind::Behind`] when it is not after `patience`.
    pub async fn in_service(&self, revision: Revision, patience: Duration) -> Result<(), Error> {
        unimplemented!()
    }

    /// The agreed config, as fresh as asked and at least of `min_revision`.
    ///
    /// # Errors
    /// [`crate::Kind::NoQuorum`] when that cannot be known, [`crate::Kind::Behind`].
    pub async fn config(
        &self,
        consistency: Consistency,
        min_revision: Option<Revision>,
    ) -> Result<ConfigShown, Error> {
        unimplemented!()
    }

    /// Agrees on another config, YAML or JSON. Returns its revision once it is applied here.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidConfig`] whose source is [`crate::config::Problems`],
    /// [`crate::Kind::Conflict`] when `expected` is not in force any more,
    /// [`crate::Kind::NoQuorum`], [`crate::Kind::InsufficientStorage`].
    pub async fn apply(
        &self,
        text: &str,
        expected: Option<Revision>,
        author: Author,
    ) -> Result<Revision, Error> {
        unimplemented!()
    }

    /// Revisions kept, the newest first.
    pub fn history(&self) -> Vec<Past> {
        unimplemented!()
    }

    /// What differs between two revisions that are kept; `None` is the one in force.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`].
    pub fn diff(
        &self,
        from: Option<Revision>,
        to: Option<Revision>,
    ) -> Result<Vec<Difference>, Error> {
        unimplemented!()
    }

    /// Agrees on an earlier config again, as a new revision.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for a revision that is not kept; otherwise as [`Agreed::apply`].
    pub async fn rollback(
        &self,
        to: Revision,
        expected: Option<Revision>,
        author: Author,
    ) -> Result<Revision, Error> {
        unimplemented!()
    }

    /// How the node stands in its cluster.
    pub fn cluster(&self) -> ClusterShown {
        unimplemented!()
    }

    /// Carries out an order about members.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`], [`crate::Kind::Conflict`] with the reason,
    /// [`crate::Kind::NoQuorum`].
    pub async fn order(&self, order: Order) -> Result<(), Error> {
        unimplemented!()
    }
}

/// An author for a change that came through a door. A request id of ours, or a UUID, makes repeats
/// of the same request (the same `payload` under the same id) one change; any other is replaced.
pub fn author(request_id: Option<&str>, by: impl Into<String>, payload: &[&[u8]]) -> Author {
    let mut author = Author::new(by);
    let given = request_id.map(|id| id.strip_prefix("req_").unwrap_or(id));
    if let Some(id) = given.and_then(|id| uuid::Uuid::parse_str(id).ok()) {
        let mut digest = blake3::Hasher::new();
        digest.update(id.as_bytes());
        for part in payload {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let mut bytes = [0; 16];
        digest.finalize_xof().fill(&mut bytes);
        author.request = llm_router_cluster::command::RequestId(u128::from_le_bytes(bytes));
    }
    author
}
