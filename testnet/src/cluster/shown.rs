//! What a node shows of the agreed state, for comparison with the others.

use serde_json::{Value, json};

use super::Cluster;
use super::admin::{Fresh, read};
use super::breakers::breaker;
use super::settle::status;
use crate::client::Client;

/// Configuration with its revision and history, keys, a model's breaker, members; as this node
/// holds them, whatever others do. `None` while it does not answer.
pub async fn shown(client: &Client, model: &str) -> Option<Value> {
    let (revision, config) = read(client, Fresh::Local).await.ok()?;
    let past = client.get("/admin/v1/config/history").await.ok()?;
    let keys = client.get("/admin/v1/keys").await.ok()?;
    let breaker = breaker(client, model).await?;
    let status = status(client).await?;
    let members: Value = status["nodes"]
        .as_array()?
        .iter()
        .map(|node| json!([node["id"], node["member"], node["address"]]))
        .collect();
    Some(json!({
        "revision": revision, "config": config, "history": past.json(),
        "keys": keys.json(), "breaker": breaker, "members": members,
        "cluster": status["cluster"],
    }))
}

impl Cluster {
    /// What one of its nodes shows; see [`shown`].
    pub async fn shown(&self, id: usize, model: &str) -> Option<Value> {
        shown(self.http(id), model).await
    }
}
