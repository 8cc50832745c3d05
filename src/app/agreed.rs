//! The use cases on what the nodes agree on: the routing config, its history, the members. Both
//! doors offer them; [`super::Node`] holds them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::command::{Change, Done, RequestId};
use llm_router_cluster::state::ConfigRevision;
use llm_router_cluster::{
    Author, Consistency, Error as Refusal, Handle, Order, Rejected, Revision, State, Status,
};
use serde::Serialize;
use tokio::sync::watch;

use super::deploy::unservable;
use super::file::FileStanding;
use super::follow::read;
use super::partition;
use crate::config::difference::between;
use crate::config::file::MAX_FILE_BYTES;
use crate::config::seal::Seal;
use crate::config::{Problems, RoutingConfig, canonical, parse};
use crate::error::{Error, Kind};
use crate::inference::Engine;

pub use crate::config::difference::Difference;

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
    seal: Seal,
    engine: Engine,
    service: watch::Receiver<Service>,
    file: Option<watch::Receiver<FileStanding>>,
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

/// How the node stands in its cluster, and what it does meanwhile.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterShown {
    /// As the cluster says it.
    #[serde(flatten)]
    pub status: Status,
    /// Revision of the agreed config in service here; 0 for the node's default.
    pub in_service: Revision,
    /// Why the newest is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_problem: Option<Unserved>,
    /// What the node does with each resource while it hears of no leader.
    pub partition_mode: BTreeMap<&'static str, &'static str>,
    /// How the node's config file stands to what is agreed, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileStanding>,
}

impl Agreed {
    /// The use cases of a node. `service` and `file` are told by whoever keeps them.
    pub fn new(
        cluster: Handle,
        engine: Engine,
        service: watch::Receiver<Service>,
        file: Option<watch::Receiver<FileStanding>>,
    ) -> Self {
        let seal = Seal::new(cluster.seal_key());
        Agreed {
            inner: Arc::new(Inner {
                cluster,
                seal,
                engine,
                service,
                file,
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
    /// [`Kind::Behind`] when it is not after `patience`.
    pub async fn in_service(&self, revision: Revision, patience: Duration) -> Result<(), Error> {
        let mut service = self.inner.service.clone();
        let served = service.wait_for(|service| service.revision >= revision);
        match tokio::time::timeout(patience, served).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Refusal::Behind {
                wanted: revision.0,
                newest: self.revision().0,
            }
            .into()),
        }
    }

    /// The agreed config, as fresh as asked and at least of `min_revision`; the node's default
    /// while nothing is agreed.
    ///
    /// # Errors
    /// [`Kind::NoQuorum`] when that cannot be known, [`Kind::Behind`], [`Kind::InvalidConfig`]
    /// when only a newer version can read it.
    pub async fn config(
        &self,
        consistency: Consistency,
        min_revision: Option<Revision>,
    ) -> Result<ConfigShown, Error> {
        let state = self.state(consistency, min_revision).await?;
        let Some(agreed) = state.config().current() else {
            let (_, config) = self.inner.engine.config();
            return Ok(ConfigShown {
                revision: Revision(0),
                config,
            });
        };
        Ok(ConfigShown {
            revision: agreed.revision,
            config: Arc::new(read(agreed).map_err(invalid)?),
        })
    }

    async fn state(
        &self,
        consistency: Consistency,
        min_revision: Option<Revision>,
    ) -> Result<Arc<State>, Error> {
        let cluster = &self.inner.cluster;
        let state = cluster.read(consistency, READ_PATIENCE).await?;
        match min_revision {
            Some(wanted) if state.revision() < wanted => {
                Ok(cluster.at_least(wanted, READ_PATIENCE).await?)
            }
            Some(_) | None => Ok(state),
        }
    }

    /// Agrees on another config, YAML or JSON; a node part in it is left aside. `note` says why,
    /// for the history. Returns its revision once it is in service here, or cannot be.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] whose source is [`Problems`], [`Kind::TooLarge`],
    /// [`Kind::Conflict`] when `expected` is not in force any more, [`Kind::NoQuorum`],
    /// [`Kind::InsufficientStorage`].
    pub async fn apply(
        &self,
        text: &str,
        expected: Option<Revision>,
        note: Option<&str>,
        author: Author,
    ) -> Result<Revision, Error> {
        if text.len() > MAX_FILE_BYTES {
            return Err(Error::new(
                Kind::TooLarge,
                "a config may have at most 1 MiB",
            ));
        }
        let parsed = parse(text, "config").map_err(invalid)?;
        let unservable = unservable(&parsed.routing, &self.inner.seal);
        if !unservable.is_empty() {
            return Err(invalid(parsed.problems("config", unservable)));
        }
        let (state, expected) = self.basis(&parsed.routing, expected).await?;
        let in_force = state.config().current().and_then(|now| read(now).ok());
        let sealed = canonical::text(&parsed.routing, in_force.as_ref(), &self.inner.seal);
        let text = sealed.map_err(|found| invalid(parsed.problems("config", found)))?;
        let note = note.unwrap_or("applied").to_owned();
        let change = Change::Config {
            expected,
            text,
            note,
        };
        self.change(change, author).await
    }

    /// The state that dots and unchanged secrets are taken from, and the revision to change. Dots
    /// mean the secret in force, so the state must be the newest, and must not have moved on when
    /// the change is made: an older secret would come back.
    async fn basis(
        &self,
        routing: &RoutingConfig,
        expected: Option<Revision>,
    ) -> Result<(Arc<State>, Option<Revision>), Error> {
        let cluster = &self.inner.cluster;
        if !canonical::has_dots(routing) {
            return Ok((cluster.state(), expected));
        }
        let state = cluster
            .read(Consistency::Linearizable, READ_PATIENCE)
            .await?;
        let current = state.revision();
        match expected {
            Some(expected) if expected != current => Err(Refusal::Rejected(Rejected::Stale {
                expected: expected.0,
                current: current.0,
            })
            .into()),
            Some(_) | None => Ok((state, Some(current))),
        }
    }

    /// Revisions kept, the newest first.
    pub fn history(&self) -> Vec<Past> {
        let state = self.inner.cluster.state();
        state.config().history().map(Past::from).collect()
    }

    /// What differs between two revisions that are kept; `None` is the one in force.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::InvalidConfig`] when only a newer version can read one of them.
    pub fn diff(
        &self,
        from: Option<Revision>,
        to: Option<Revision>,
    ) -> Result<Vec<Difference>, Error> {
        let state = self.inner.cluster.state();
        let [from, to] = [from, to].map(|revision| kept(&state, revision));
        Ok(between(&from?, &to?, &self.inner.seal))
    }

    /// Agrees on an earlier config again, as a new revision.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for a revision that is not kept; otherwise as [`Agreed::apply`].
    pub async fn rollback(
        &self,
        to: Revision,
        expected: Option<Revision>,
        author: Author,
    ) -> Result<Revision, Error> {
        self.change(Change::Rollback { to, expected }, author).await
    }

    async fn change(&self, change: Change, author: Author) -> Result<Revision, Error> {
        let Inner {
            cluster, engine, ..
        } = &*self.inner;
        let kind = change.name();
        let proposed = cluster.propose(change, author, CHANGE_PATIENCE).await;
        let told = proposed.as_ref().map_or_else(outcome, |_| "ok");
        engine.metrics().proposed(kind, told);
        let revision = match proposed? {
            Done::Config { revision } => revision,
            Done::Nothing
            | Done::Key { .. }
            | Done::Member { .. }
            | Done::Breaker { .. }
            | Done::Several { .. }
            | Done::Epoch { .. } => {
                return Err(Error::new(
                    Kind::Internal,
                    "a change of another kind was made",
                ));
            }
        };
        // agreed is agreed: a node that cannot serve it says so in its status, not here
        let mut service = self.inner.service.clone();
        let settled = service.wait_for(|service| service.has_seen(revision));
        let _ = tokio::time::timeout(READ_PATIENCE, settled).await;
        Ok(revision)
    }

    /// How the node stands in its cluster.
    pub fn cluster(&self) -> ClusterShown {
        let Service { revision, problem } = self.inner.service.borrow().clone();
        ClusterShown {
            status: self.inner.cluster.status(),
            in_service: revision,
            config_problem: problem,
            partition_mode: partition::MODES.into_iter().collect(),
            file: self.inner.file.as_ref().map(|file| file.borrow().clone()),
        }
    }

    /// Carries out an order about members.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Conflict`] with the reason, [`Kind::NoQuorum`].
    pub async fn order(&self, order: Order) -> Result<(), Error> {
        Ok(self.inner.cluster.order(order, CHANGE_PATIENCE).await?)
    }
}

impl Service {
    /// It is in service, something newer is, or it cannot be.
    fn has_seen(&self, revision: Revision) -> bool {
        let refused = self.problem.as_ref().map(|problem| problem.revision);
        self.revision >= revision || refused >= Some(revision)
    }
}

impl From<&ConfigRevision> for Past {
    fn from(kept: &ConfigRevision) -> Self {
        Past {
            revision: kept.revision,
            at_ms: kept.at_ms,
            by: kept.by.clone(),
            note: kept.note.clone(),
        }
    }
}

fn kept(state: &State, revision: Option<Revision>) -> Result<RoutingConfig, Error> {
    let found = match revision {
        Some(revision) => state.config().get(revision),
        None => state.config().current(),
    };
    let Some(found) = found else {
        let which = revision.unwrap_or_default();
        let message = format!("revision {which} is not kept");
        return Err(Error::new(Kind::NotFound, message));
    };
    read(found).map_err(invalid)
}

fn invalid(problems: Problems) -> Error {
    Error::new(Kind::InvalidConfig, problems.to_string()).with_source(problems)
}

/// What came of a proposal, as a metric label.
pub(super) fn outcome(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoQuorum { .. } => "no_quorum",
        Refusal::Timeout => "timeout",
        Refusal::Behind { .. } => "behind",
        Refusal::DiskFull { .. } => "disk_full",
        Refusal::Rejected(_) => "rejected",
        Refusal::Busy => "busy",
        Refusal::Refused(_) => "refused",
        Refusal::Unreachable { .. } => "unreachable",
        Refusal::Store(_) | Refusal::Stopped => "stopped",
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
        author.request = RequestId(u128::from_le_bytes(bytes));
    }
    author
}

#[cfg(test)]
mod tests {
    use llm_router_cluster::Revision;

    use super::{Service, Unserved, author};

    const UUID: &str = "0191d5a0-7c1e-7000-8000-000000000001";

    #[test]
    fn a_repeated_request_is_one_request_and_another_body_another() {
        let of = |id, body: &str| author(Some(id), "operator", &[body.as_bytes()]).request;
        let ours = format!("req_{}", UUID.replace('-', ""));
        assert_eq!(of(UUID, "a"), of(UUID, "a"));
        assert_eq!(of(UUID, "a"), of(&ours, "a"));
        assert_ne!(of(UUID, "a"), of(UUID, "b"));
        assert_ne!(
            of("my-id", "a"),
            of("my-id", "a"),
            "not an id made to be unique"
        );
        let split = |parts: &[&[u8]]| author(Some(UUID), "operator", parts).request;
        assert_ne!(split(&[b"ab", b"c"]), split(&[b"a", b"bc"]));
    }

    #[test]
    fn a_change_is_settled_when_served_overtaken_or_refused() {
        let service = |revision, refused: Option<u64>| Service {
            revision: Revision(revision),
            problem: refused.map(|refused| Unserved {
                revision: Revision(refused),
                reason: String::new(),
            }),
        };
        let seen = |service: Service| service.has_seen(Revision(5));
        assert!(!seen(service(4, None)) && !seen(service(3, Some(4))));
        assert!(seen(service(5, None)) && seen(service(6, None)) && seen(service(4, Some(5))));
    }
}
