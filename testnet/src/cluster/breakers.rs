//! Breakers, as nodes show them.

use std::time::Duration;

use tokio::time::timeout;

use super::Cluster;
use crate::client::Client;

/// How long a node may take to say.
const PATIENCE: Duration = Duration::from_secs(1);

/// Epoch and state of a model's breaker as agreed and applied on a node, whatever the node makes of
/// it; `None` before anything was.
pub async fn agreed(client: &Client, model: &str) -> Option<(u64, &'static str)> {
    let reply = timeout(PATIENCE, client.get("/metrics")).await.ok()?.ok()?;
    let text = reply.text();
    let epoch = gauge(&text, "llm_router_breaker_epoch", model)?;
    let state = match gauge(&text, "llm_router_breaker_agreed_state", model)? {
        0 => "closed",
        1 => "half_open",
        _ => "open",
    };
    Some((epoch, state))
}

/// A whole figure of a model, in the text that monitoring reads.
fn gauge(text: &str, name: &str, model: &str) -> Option<u64> {
    let label = format!("model=\"{model}\"");
    let of_model = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('{')) && line.contains(&label)
    };
    let line = text.lines().find(of_model)?;
    line.rsplit_once(' ')?.1.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::gauge;

    #[test]
    fn a_figure_is_found_by_its_whole_name_and_model() {
        let text = "# TYPE llm_router_breaker_epoch gauge\n\
                    llm_router_breaker_epoch_total{model=\"a\"} 9\n\
                    llm_router_breaker_epoch{model=\"ab\",otel_scope_name=\"x\"} 4\n\
                    llm_router_breaker_epoch{model=\"a\",otel_scope_name=\"x\"} 3\n";
        assert_eq!(gauge(text, "llm_router_breaker_epoch", "a"), Some(3));
        assert_eq!(gauge(text, "llm_router_breaker_epoch", "c"), None);
    }
}
