//! Waiting for the nodes to agree.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::Cluster;
use crate::client::Client;
use crate::eventually;

/// How long nodes may take to agree after everything works again; far more than they should.
pub const LIMIT: Duration = Duration::from_secs(20);
/// How long a node may take to say how it stands: one that does not get to run for a moment is there
/// all the same, and one that has ended refuses at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a node stands in its cluster, by its own word; `None` while it does not answer.
pub async fn status(client: &Client) -> Option<Value> {
    let asked = client.get("/admin/v1/cluster");
    let reply = tokio::time::timeout(PATIENCE, asked).await;
    let reply = reply.ok()?.ok()?;
    (reply.status == 200).then(|| reply.json())
}

/// The node that leads by the word of most of the `n` nodes that were asked.
pub fn leads(said: &[Value], n: usize) -> Option<usize> {
    let word = |status: &Value| {
        let leader = number(&status["leader"]).filter(|_| status["connected"] == true)?;
        Some((status["term"].as_u64()?, leader))
    };
    let words: Vec<(u64, usize)> = said.iter().filter_map(word).collect();
    let &(term, leader) = words.iter().max()?;
    let agree = words.iter().filter(|&&word| word == (term, leader)).count();
    (agree * 2 > n).then_some(leader)
}

/// The revision that nodes serve which are connected and know of the same leader.
pub fn revision_of(said: &[Value]) -> Option<u64> {
    let mut seen = BTreeSet::new();
    for status in said {
        (status["connected"] == true).then_some(())?;
        let served = status["in_service"].as_u64()?;
        let agreed = status["revision"].as_u64()?;
        (served == agreed).then_some(())?;
        seen.insert((status["leader"].as_str()?, agreed));
    }
    let (_, revision) = seen.pop_first()?;
    seen.is_empty().then_some(revision)
}

impl Cluster {
    /// How a node stands in its cluster, by its own word; `None` while it does not answer.
    pub async fn status(&self, id: usize) -> Option<Value> {
        status(self.http(id)).await
    }

    /// The node that leads by the word of most running nodes.
    pub async fn leader_now(&self) -> Option<usize> {
        let running = self.running();
        let mut said = Vec::new();
        for &id in &running {
            said.extend(self.status(id).await);
        }
        leads(&said, running.len()).filter(|leader| running.contains(leader))
    }

    /// Waits for a leader and says which.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        eventually("there is a leader", LIMIT, async || self.leader_now().await).await
    }

    /// The leader, and the running nodes that do not lead, by one look: by two, one node can be both.
    ///
    /// # Errors
    /// When there is no leader in time.
    pub async fn roles(&self) -> anyhow::Result<(usize, Vec<usize>)> {
        let leader = self.leader().await?;
        let mut others = self.running();
        others.retain(|&id| id != leader);
        Ok((leader, others))
    }

    /// Running nodes that do not lead.
    ///
    /// # Errors
    /// When there is no leader in time.
    pub async fn followers(&self) -> anyhow::Result<Vec<usize>> {
        Ok(self.roles().await?.1)
    }

    /// Waits until `n` nodes are members, as many of them as can vote do, and all agree on who
    /// leads.
    ///
    /// # Errors
    /// When they do not.
    pub async fn formed(&self, n: usize) -> anyhow::Result<()> {
        let voters = match n {
            0..=2 => 1,
            3 | 4 => 3,
            _ => 5,
        };
        eventually("the nodes have formed", LIMIT, async || {
            let mut leaders = BTreeSet::new();
            for id in self.running() {
                let status = self.status(id).await?;
                let nodes = status["nodes"].as_array()?;
                let voting = nodes.iter().filter(|node| node["role"] != "learner");
                (nodes.len() == n && voting.count() == voters).then_some(())?;
                leaders.insert(number(&status["leader"])?);
            }
            (leaders.len() == 1).then_some(())
        })
        .await
        .with_context(|| "see the nodes' logs")
    }

    /// Waits until all running nodes are connected, serve the same revision and know of the same
    /// leader; gives the revision.
    ///
    /// # Errors
    /// When they do not.
    pub async fn in_step(&self) -> anyhow::Result<u64> {
        self.in_step_within(LIMIT).await
    }

    /// The same, with another limit.
    ///
    /// # Errors
    /// When they do not.
    pub async fn in_step_within(&self, limit: Duration) -> anyhow::Result<u64> {
        eventually("the nodes are in step", limit, async || {
            let mut said = Vec::new();
            for id in self.running() {
                said.push(self.status(id).await?);
            }
            revision_of(&said)
        })
        .await
    }
}

/// The number of a node's name.
fn number(name: &Value) -> Option<usize> {
    name.as_str()?.strip_prefix('n')?.parse().ok()
}
