//! What is shown of what the nodes agree on.

use std::collections::BTreeMap;
use std::sync::Arc;

use llm_router_cluster::state::ConfigRevision;
use llm_router_cluster::{Revision, Status};
use serde::Serialize;

use crate::app::file::FileStanding;
use crate::config::RoutingConfig;

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
    /// Only the moment was bad: it is tried again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub passing: bool,
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

/// Counters of the whole cluster.
#[derive(Clone, Debug, Serialize)]
pub struct FiguresShown {
    /// Nodes they are the sum of.
    pub nodes: u32,
    /// How long ago the leader told them; `None` before the first time.
    pub heard_ms_ago: Option<u128>,
    /// Sums over these nodes, each since its own start.
    pub usage: BTreeMap<String, u64>,
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

impl Service {
    /// It is in service, something newer is, or it cannot be.
    pub(super) fn has_seen(&self, revision: Revision) -> bool {
        let settled = self.problem.as_ref().filter(|problem| !problem.passing);
        let refused = settled.map(|problem| problem.revision);
        self.revision >= revision || refused >= Some(revision)
    }

    /// The newest revision tried.
    pub(in crate::app) fn newest(&self) -> Revision {
        let refused = self.problem.as_ref().map(|problem| problem.revision);
        refused.unwrap_or(self.revision)
    }

    /// The newest one is to be tried again.
    pub(in crate::app) fn is_passing(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.passing)
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

#[cfg(test)]
mod tests {
    use llm_router_cluster::Revision;

    use super::{Service, Unserved};

    #[test]
    fn a_change_is_settled_when_served_overtaken_or_refused() {
        let service = |revision, refused: Option<u64>| Service {
            revision: Revision(revision),
            problem: refused.map(|refused| Unserved {
                revision: Revision(refused),
                reason: String::new(),
                passing: false,
            }),
        };
        let seen = |service: Service| service.has_seen(Revision(5));
        assert!(!seen(service(4, None)) && !seen(service(3, Some(4))));
        let mut waits = service(4, Some(5));
        assert!(!waits.is_passing() && waits.newest() == Revision(5));
        waits.problem.as_mut().unwrap().passing = true;
        assert!(waits.is_passing() && !seen(waits), "it is tried again");
        assert!(seen(service(5, None)) && seen(service(6, None)) && seen(service(4, Some(5))));
    }
}
