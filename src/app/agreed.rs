//! The use cases on what the nodes agree on: the routing config, its history, the members. Both
//! doors offer them; [`super::Node`] holds them.

mod shown;

use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::command::{Change, Done};
use llm_router_cluster::{
    Author, Consistency, Error as Refusal, Handle, Order, Rejected, Revision, State,
};
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
pub use shown::{ClusterShown, ConfigShown, FiguresShown, Past, Service, Unserved};

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
    ///
    /// # Errors
    /// [`Kind::NoQuorum`] when they cannot be known as fresh as asked.
    pub async fn history(&self, consistency: Consistency) -> Result<Vec<Past>, Error> {
        let state = self.state(consistency, None).await?;
        Ok(state.config().history().map(Past::from).collect())
    }

    /// What differs between two revisions that are kept; `None` is the one in force.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::InvalidConfig`] when only a newer version can read one of them;
    /// [`Kind::NoQuorum`] when they cannot be known as fresh as asked.
    pub async fn diff(
        &self,
        (from, to): (Option<Revision>, Option<Revision>),
        consistency: Consistency,
    ) -> Result<Vec<Difference>, Error> {
        let state = self.state(consistency, None).await?;
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

    /// How the node's file stands, and every change of it.
    #[cfg(test)]
    pub(super) fn file(&self) -> Option<watch::Receiver<FileStanding>> {
        self.inner.file.clone()
    }

    /// Figures of the whole cluster, as the leader summed them last.
    pub fn figures(&self) -> FiguresShown {
        let heard = self.inner.cluster.heard().borrow().clone();
        let figures = &heard.directive.figures;
        FiguresShown {
            nodes: figures.nodes,
            heard_ms_ago: heard.at.map(|at| at.elapsed().as_millis()),
            usage: figures.usage.clone(),
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
