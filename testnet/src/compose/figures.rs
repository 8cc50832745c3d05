//! What the nodes say of themselves, and what their containers use.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::time::timeout;

use super::engine::Engine;
use super::plan::Plan;
use crate::client::Client;

/// How long a node may take to answer; one that is cut off or stands still is shown as such.
const LIMIT: Duration = Duration::from_secs(2);

/// One node at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Its container, as the engine has it: `running`, `paused`, `exited`, `none`.
    pub(super) container: String,
    /// `/admin/v1/cluster`; `null` where it does not answer.
    pub(super) cluster: Value,
    /// `/admin/v1/stats`.
    pub(super) stats: Value,
    /// `/ready` said 200.
    pub(super) ready: bool,
    /// Processor time used since it began.
    pub(super) cpu_seconds: Option<f64>,
}

impl Figures {
    /// What it is in the cluster, by its own word.
    pub(super) fn role(&self, id: usize) -> String {
        let name = format!("n{id}");
        let nodes = self.cluster["nodes"].as_array();
        let own = nodes
            .into_iter()
            .flatten()
            .find(|node| node["id"] == name.as_str());
        let role = own.and_then(|node| node["role"].as_str());
        role.unwrap_or("-").to_owned()
    }

    /// A counter of its own; 0 where it does not answer.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.stats[name].as_u64().unwrap_or(0)
    }

    /// What a counter has grown by since `before`.
    pub(super) fn since(&self, before: &Figures, name: &str) -> u64 {
        self.count(name).saturating_sub(before.count(name))
    }

    /// Processor time used since `before`; `None` for a node that was started again meanwhile, or whose
    /// engine is on another machine.
    pub(super) fn cpu_since(&self, before: &Figures) -> Option<f64> {
        let (old, new) = (before.cpu_seconds?, self.cpu_seconds?);
        (new >= old).then_some(new - old)
    }
}

/// Asks every node at once.
pub(super) async fn all(engine: &Engine, plan: &Plan) -> Vec<Figures> {
    join_all(plan.ids().map(|id| one(engine, plan, id))).await
}

async fn one(engine: &Engine, plan: &Plan, id: usize) -> Figures {
    let container = plan.container(&format!("n{id}"));
    let state = engine.field(&container, ".State.Status").await;
    let Ok(client) = Client::new(&plan.http(id)) else {
        return Figures::default();
    };
    let (ready, cluster, stats, cpu_seconds) = tokio::join!(
        get(&client, "/ready"),
        get(&client, "/admin/v1/cluster"),
        get(&client, "/admin/v1/stats"),
        engine.cpu_seconds(&container),
    );
    Figures {
        container: state.unwrap_or_else(|| "none".to_owned()),
        cluster: cluster.unwrap_or_default(),
        stats: stats.unwrap_or_default(),
        ready: ready.is_some(),
        cpu_seconds,
    }
}

/// An answer with status 200; `null` inside where that is no JSON.
pub(super) async fn get(client: &Client, path: &str) -> Option<Value> {
    let reply = timeout(LIMIT, client.get(path)).await.ok()?.ok()?;
    (reply.status == 200).then(|| reply.json())
}

/// Every node has `revision` in service, hears of a leader and knows all members.
pub(super) async fn in_step(plan: &Plan, revision: u64) -> bool {
    let asked = plan.ids().map(|id| async move {
        let client = Client::new(&plan.http(id)).ok()?;
        get(&client, "/admin/v1/cluster").await
    });
    let said = join_all(asked).await;
    said.iter().all(|said| {
        let Some(said) = said else { return false };
        let known = said["nodes"].as_array().map_or(0, Vec::len);
        let voting = |node: &Value| node["role"] != "learner";
        let voters = said["nodes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|node| voting(node));
        said["in_service"].as_u64() >= Some(revision)
            && said["connected"] == true
            && known == plan.nodes
            && voters.count() == plan.nodes
    })
}
