//! Breakers, as nodes show them.

use tokio::time::timeout;

use super::Cluster;
use super::figures::{Figures, PATIENCE};
use crate::client::Client;

/// Epoch and state of a model's breaker as agreed and applied on a node, whatever the node makes of
/// it; `None` before anything was.
pub async fn agreed(client: &Client, model: &str) -> Option<(u64, &'static str)> {
    let figures = Figures::of(client).await?;
    let labels = [("model", model)];
    let epoch = figures.gauge("llm_router_breaker_epoch", &labels)?;
    let state = match figures.gauge("llm_router_breaker_agreed_state", &labels)? {
        0 => "closed",
        1 => "half_open",
        _ => "open",
    };
    Some((epoch, state))
}

/// State and epoch of a model's breaker as a node sees it.
pub async fn breaker(client: &Client, model: &str) -> Option<(String, u64)> {
    let status = timeout(PATIENCE, client.model_status(model)).await;
    let breaker = status.ok()?.ok()?["circuit_breaker"].take();
    let state = breaker["state"].as_str()?.to_owned();
    Some((state, breaker["epoch"].as_u64().unwrap_or(0)))
}

impl Cluster {
    /// State and epoch of a model's breaker as a node sees it.
    pub async fn breaker(&self, id: usize, model: &str) -> Option<(String, u64)> {
        breaker(self.http(id), model).await
    }

    /// Epoch and state of a model's breaker as agreed and applied on a node; see [`agreed`].
    pub async fn agreed_breaker(&self, id: usize, model: &str) -> Option<(u64, &'static str)> {
        agreed(self.http(id), model).await
    }
}
