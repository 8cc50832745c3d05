//! The nodes as clients with keys reach them: an administrator, and two tenants who must never meet.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{Client, whole};
use crate::cluster;
use crate::compose::plan::Plan;
use crate::doors::At;
use crate::eventually;

/// Whose the requests are.
pub(super) const TENANTS: [&str; 2] = ["acme", "globex"];
/// How long healed nodes may take until they agree. A container that joins its networks again has to be
/// found by name first.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Doors of every node, by who asks.
#[derive(Clone, Debug)]
pub(super) struct Crew {
    /// The administrator's.
    pub(super) admin: Vec<Client>,
    /// Each tenant's, in the order of [`TENANTS`].
    pub(super) tenants: [Vec<At>; 2],
}

impl Crew {
    /// Makes the keys. From here on nobody else may ask.
    ///
    /// # Errors
    /// A node refuses.
    pub(super) async fn hire(plan: &Plan) -> anyhow::Result<Self> {
        let first = Client::new(&plan.http(1))?;
        let ops = key(&first, &json!({"name": "chaos"})).await?;
        let admin = Client::keyed(&plan.http(1), Some(&ops))?;
        let mut keys = Vec::new();
        for tenant in TENANTS {
            keys.push(key(&admin, &json!({"name": tenant, "tenant": tenant})).await?);
        }
        let doors = |key: &str| -> anyhow::Result<Vec<At>> {
            plan.ids()
                .map(|id| At::keyed(&plan.http(id), &plan.grpc(id), Some(key)))
                .collect()
        };
        let admin: anyhow::Result<Vec<Client>> = plan
            .ids()
            .map(|id| Client::keyed(&plan.http(id), Some(&ops)))
            .collect();
        Ok(Crew {
            admin: admin?,
            tenants: [doors(&keys[0])?, doors(&keys[1])?],
        })
    }

    /// The administrator's way to a node.
    pub(super) fn node(&self, id: usize) -> &Client {
        &self.admin[id - 1]
    }

    /// Numbers of the nodes.
    pub(super) fn ids(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.admin.len()
    }

    async fn said(&self) -> Vec<Value> {
        let asked = join_all(self.admin.iter().map(cluster::status)).await;
        asked.into_iter().flatten().collect()
    }

    /// The node that leads, where most say so.
    pub(super) async fn leader(&self) -> Option<usize> {
        cluster::leads(&self.said().await, self.admin.len())
    }

    /// Waits until all nodes are connected and serve the same revision, and gives it.
    ///
    /// # Errors
    /// They do not within `limit`; what each says is included.
    pub(super) async fn in_step(&self, limit: Duration) -> anyhow::Result<u64> {
        let told = eventually("the nodes are in step", limit, async || {
            let said = self.said().await;
            let all = said.len() == self.admin.len();
            all.then(|| cluster::revision_of(&said)).flatten()
        });
        match told.await {
            Ok(revision) => Ok(revision),
            Err(error) => {
                let said: Vec<String> = self.said().await.iter().map(brief).collect();
                Err(error.context(said.join("; ")))
            }
        }
    }

    /// Waits until a node says that it is ready.
    ///
    /// # Errors
    /// It does not.
    pub(super) async fn ready(&self, id: usize) -> anyhow::Result<()> {
        let what = format!("n{id} is ready");
        eventually(&what, LIMIT, async || {
            let asked = timeout(Duration::from_secs(1), self.node(id).get("/ready")).await;
            let reply = asked.ok()?.ok()?;
            (reply.status == 200).then_some(())
        })
        .await
    }

    /// One figure out of a node's metrics.
    pub(super) async fn figure(&self, id: usize, name: &str) -> Option<f64> {
        let asked = timeout(Duration::from_secs(2), self.node(id).get("/metrics")).await;
        let text = asked.ok()?.ok()?.text();
        let mut named = text.lines().filter(|line| line.starts_with(name));
        named.next()?.rsplit_once(' ')?.1.parse().ok()
    }
}

fn brief(status: &Value) -> String {
    format!(
        "connected {}, leader {}, term {}, revision {}, in service {}",
        status["connected"],
        status["leader"],
        status["term"],
        status["revision"],
        status["in_service"]
    )
}

async fn key(node: &Client, order: &Value) -> anyhow::Result<String> {
    let request = node.request(Method::POST, "/admin/v1/keys").json(order);
    let reply = whole(request).await?;
    if reply.status != 201 {
        // what a good answer says is secret, what a bad one says is not
        bail!("no key was made: {} {}", reply.status, reply.text());
    }
    let made = reply.json();
    let key = made["key"].as_str().context("an answer without a key")?;
    Ok(key.to_owned())
}
