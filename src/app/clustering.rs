//! From a node's configuration to a node in its cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use llm_router_cluster::start::{Options, TlsFiles};
use llm_router_cluster::status::Role;
use llm_router_cluster::{Handle, NodeId, Status};
use tokio::net::TcpListener;

use super::agreed::Agreed;
use crate::config::node::ClusterConfig;
use crate::telemetry::metrics::ClusterLevels;

/// Where the cluster's store is, below the data directory.
const STORE: &str = "cluster";
/// Where it is noted when file and agreed config last said the same.
const NOTE: &str = "in-step.json";

/// The store's directory.
pub(super) fn store(data_dir: &Path) -> PathBuf {
    data_dir.join(STORE)
}

/// The note's file.
pub(super) fn note(data_dir: &Path) -> PathBuf {
    data_dir.join(NOTE)
}

/// Starts the node's part in its cluster: joins, begins one of its own, or comes back.
///
/// # Errors
/// In words for the operator: the store must not be used, or the cluster says no.
pub(super) async fn start(
    node: &NodeId,
    config: &ClusterConfig,
    (listener, data_dir): (TcpListener, &Path),
    faults: Option<PathBuf>,
) -> anyhow::Result<Handle> {
    let advertise = advertised(config.advertise.as_deref(), listener.local_addr()?)?;
    let dial = config.dial.iter().map(|(name, address)| {
        let name = NodeId::parse(name).with_context(|| format!("cluster.dial.{name}"))?;
        Ok((name, address.clone()))
    });
    let options = Options {
        node: node.clone(),
        dir: store(data_dir),
        listener,
        advertise,
        join: config.join.clone(),
        dial: dial.collect::<anyhow::Result<BTreeMap<_, _>>>()?,
        tls: config.tls.as_ref().map(|tls| TlsFiles {
            ca: tls.ca.clone(),
            cert: tls.cert.clone(),
            key: tls.key.clone(),
        }),
        timing: config.timing.into(),
        faults,
    };
    Ok(llm_router_cluster::start(options).await?)
}

/// Where other nodes reach this one: as said, else the bound address; a wildcard says nothing, and
/// the port of one that was picked is known only now.
fn advertised(said: Option<&str>, bound: SocketAddr) -> anyhow::Result<String> {
    match said {
        Some(said) => Ok(said.to_owned()),
        None if bound.ip().is_unspecified() => bail!(
            "other nodes cannot dial {bound}: say where they reach this one with --advertise HOST:PORT"
        ),
        None => Ok(bound.to_string()),
    }
}

/// The cluster has no other member, and this one votes.
pub(super) fn is_alone(status: &Status) -> bool {
    let mine = role(status);
    status.nodes.len() <= 1 && mine != Role::Learner
}

/// What this node is.
pub(super) fn role(status: &Status) -> Role {
    let me = status.nodes.iter().find(|node| node.id == status.node);
    me.map_or(Role::Learner, |me| me.role)
}

/// The levels that metrics tell.
pub(super) fn levels(agreed: &Agreed) -> ClusterLevels {
    let status = agreed.handle().status();
    ClusterLevels {
        connected: status.connected,
        term: status.term,
        role: match role(&status) {
            Role::Learner => 0,
            Role::Voter => 1,
            Role::Leader => 2,
        },
        applied: status.applied,
        committed: status.committed,
        leader_contact_ms: status.leader_contact_ms,
        certificate_ends_s: agreed.handle().certificate_ends_ms().map(|ms| ms / 1000),
        alive: status.nodes.iter().map(|node| u64::from(node.alive)).sum(),
        agreed: status.revision.0,
        in_service: agreed.revision().0,
    }
}

#[cfg(test)]
mod tests {
    use super::advertised;

    #[test]
    fn a_wildcard_is_not_advertised() {
        let at = |text: &str| text.parse().unwrap();
        assert!(advertised(None, at("0.0.0.0:7400")).is_err());
        let said = advertised(Some("n1.example:7400"), at("0.0.0.0:7400"));
        assert_eq!(said.unwrap(), "n1.example:7400");
        assert_eq!(advertised(None, at("127.0.0.1:9")).unwrap(), "127.0.0.1:9");
    }
}
