//! Whether a node may be reached from other machines: only where callers are asked for something.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use llm_router_cluster::{Consistency, Handle};

use super::doors::Addresses;
use crate::tenancy::Keys;

/// How long a node that has just joined others waits to hear of their keys.
const HEARSAY: Duration = Duration::from_secs(5);

/// Pause between two tries to hear of them.
const HEARSAY_PAUSE: Duration = Duration::from_millis(100);

/// The doors for clients can be reached from other machines, and nothing in front of them asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exposure(bool);

impl Exposure {
    /// Of doors at these addresses. `insecure`: something in front of them does the asking.
    pub(super) fn of(addresses: &Addresses, insecure: bool) -> Self {
        let inside = addresses.http.ip().is_loopback() && addresses.grpc.ip().is_loopback();
        Exposure(!inside && !insecure)
    }

    /// Refuses before anything is written, where there can be no key: a node that begins alone.
    pub(super) fn check_before(self, store: &Path, join: &[String]) -> anyhow::Result<()> {
        if self.0 && join.is_empty() && !store.exists() {
            bail!(refusal());
        }
        Ok(())
    }

    /// The keys callers are asked for.
    ///
    /// # Errors
    /// There are none, and the node is exposed.
    pub(super) async fn keys(self, cluster: &Handle) -> anyhow::Result<Keys> {
        let keys = Keys::of(Arc::new(cluster.clone()), self.0);
        let alone = cluster.status().nodes.len() == 1;
        if !alone && cluster.state().keys().is_empty() {
            hear(cluster).await;
        }
        let hearsay = if alone { Duration::ZERO } else { HEARSAY };
        if self.0 && !keys.wait_until_demanded(hearsay).await {
            bail!(refusal());
        }
        Ok(keys)
    }
}

/// Asks for the newest state before the doors open: a table without keys opens them to anyone. A
/// node that has just joined is given time to hear of its leader; one that knew a state before
/// goes by that if there is no quorum. Where nothing is heard, [`Keys::check`] lets nobody in.
async fn hear(cluster: &Handle) {
    let newest = async || {
        let read = cluster.read(Consistency::Linearizable, HEARSAY).await;
        read.is_ok() || cluster.state().cluster().is_some()
    };
    let heard = async {
        while !newest().await {
            tokio::time::sleep(HEARSAY_PAUSE).await;
        }
    };
    if tokio::time::timeout(HEARSAY, heard).await.is_err() {
        tracing::warn!("nothing was heard of the cluster's keys yet; callers are told to wait");
    }
}

fn refusal() -> &'static str {
    "this node would be reached from other machines, and there is no key to ask for: start it on \
     127.0.0.1 and make one (`llm-router keys create --name NAME`), or pass --insecure-no-auth if \
     something in front of it does the asking"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(http: &str, insecure: bool) -> Exposure {
        let [http, grpc, cluster] =
            [http, "127.0.0.1:2", "127.0.0.1:3"].map(|a| a.parse().unwrap());
        let addresses = Addresses {
            http,
            grpc,
            cluster,
        };
        Exposure::of(&addresses, insecure)
    }

    #[test]
    fn a_fresh_node_that_begins_alone_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("cluster");
        let open = exposure("0.0.0.0:8080", false);
        let refused = open.check_before(&store, &[]).unwrap_err().to_string();
        assert!(refused.contains("--insecure-no-auth"), "{refused}");
        assert!(!store.exists());
        let joining = ["127.0.0.1:7400".to_owned()];
        assert!(open.check_before(&store, &joining).is_ok());
        std::fs::create_dir(&store).unwrap();
        assert!(open.check_before(&store, &[]).is_ok());
    }

    #[test]
    fn loopback_and_a_guard_in_front_need_no_key() {
        let store = Path::new("/nowhere/cluster");
        for fine in [exposure("127.0.0.1:1", false), exposure("0.0.0.0:1", true)] {
            assert!(fine.check_before(store, &[]).is_ok(), "{fine:?}");
        }
    }
}
