//! What the nodes say of their cache, and what becomes of a purge.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use super::Cluster;
use crate::client::Reply;
use crate::eventually;

/// How long entries may be on the move after nodes or cells have changed: a node that has gone is
/// waited for ten seconds before its entries are copied.
pub const SETTLES: Duration = Duration::from_secs(60);
/// An answer is findable everywhere so long after its response ended, with room for a busy machine.
pub const SPREADS: Duration = Duration::from_secs(10);

impl Cluster {
    /// What a node says of its cache; `None` while it does not answer.
    pub async fn cache(&self, id: usize) -> Option<Value> {
        let asked = self.http(id).get("/admin/v1/cache");
        let reply = tokio::time::timeout(Duration::from_secs(2), asked).await;
        let reply = reply.ok()?.ok()?;
        (reply.status == 200).then(|| reply.json())
    }

    /// One counter of what goes between the caches, summed over all running nodes; `None` while one
    /// of them does not answer.
    pub async fn cache_sum(&self, counter: &str) -> Option<u64> {
        let mut sum = 0;
        for id in self.running() {
            sum += self.cache(id).await?["peers"][counter].as_u64()?;
        }
        Some(sum)
    }

    /// Waits until all running nodes divide the entries among `nodes` nodes, and none is on the
    /// move.
    ///
    /// # Errors
    /// When they do not.
    pub async fn settled(&self, nodes: usize) -> anyhow::Result<()> {
        let what = format!("entries have settled on {nodes} nodes");
        eventually(&what, SETTLES, async || {
            for id in self.running() {
                let peers = self.cache(id).await?["peers"].take();
                let there = peers["nodes"].as_u64()? == nodes as u64;
                (there && peers["moving"] == false).then_some(())?;
            }
            Some(())
        })
        .await
    }

    /// Calls answers off through a node, as `{"all": true}` says; gives the reply's body.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn purge(&self, through: usize, what: &Value) -> anyhow::Result<Value> {
        let reply = self.try_purge(through, what).await?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        Ok(reply.json())
    }

    /// The same, refused or not.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn try_purge(&self, through: usize, what: &Value) -> anyhow::Result<Reply> {
        self.http(through).post("/admin/v1/cache/purge", what).await
    }
}
