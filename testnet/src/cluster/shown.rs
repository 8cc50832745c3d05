//! What a node shows of the agreed state, for comparison with the others.

use serde_json::{Value, json};

use super::Cluster;
use super::admin::{Fresh, read};

impl Cluster {
    /// Configuration with its revision and history, keys, a model's breaker, members; as this node
    /// holds them, whatever others do. `None` while it does not answer.
    pub async fn shown(&self, id: usize, model: &str) -> Option<Value> {
        let client = self.http(id);
        let (revision, config) = read(client, Fresh::Local).await.ok()?;
        let past = client.get("/admin/v1/config/history").await.ok()?;
        let keys = client.get("/admin/v1/keys").await.ok()?;
        let breaker = self.breaker(id, model).await?;
        let status = self.status(id).await?;
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
}
