//! Figures, as nodes give them to monitoring.

use std::time::Duration;

use tokio::time::timeout;

use super::Cluster;
use crate::client::Client;

/// How long a node may take to say.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// All of a node's figures, at one moment.
#[derive(Debug)]
pub struct Figures(String);

impl Figures {
    /// What a node gives; `None` when it gives nothing.
    pub async fn of(client: &Client) -> Option<Self> {
        let reply = timeout(PATIENCE, client.get("/metrics")).await.ok()?.ok()?;
        Some(Figures(reply.text()))
    }

    /// The whole figure of this name that has these labels among its own.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let labels: Vec<_> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let wanted = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('{'))
                && labels.iter().all(|label| line.contains(label))
        };
        let line = self.0.lines().find(wanted)?;
        line.rsplit_once(' ')?.1.parse().ok()
    }
}

impl Cluster {
    /// A node's part of a model's limit, as it goes by it: of `concurrency`, `requests` or `tokens`.
    pub async fn share(&self, id: usize, model: &str, limit: &str) -> Option<u64> {
        let labels = [("model", model), ("limit", limit)];
        let figures = Figures::of(self.http(id)).await?;
        figures.gauge("llm_router_limit_share", &labels)
    }
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn a_figure_is_found_by_its_whole_name_and_its_labels() {
        let figures = Figures(
            "# TYPE llm_router_breaker_epoch gauge\n\
             llm_router_breaker_epoch_total{model=\"a\"} 9\n\
             llm_router_breaker_epoch{model=\"ab\",otel_scope_name=\"x\"} 4\n\
             llm_router_breaker_epoch{model=\"a\",otel_scope_name=\"x\"} 3\n\
             llm_router_limit_share{limit=\"requests\",model=\"a\"} 7\n\
             llm_router_limit_share{limit=\"concurrency\",model=\"a\"} 2\n"
                .to_owned(),
        );
        let epoch = |model| figures.gauge("llm_router_breaker_epoch", &[("model", model)]);
        assert_eq!((epoch("a"), epoch("c")), (Some(3), None));
        let labels = [("model", "a"), ("limit", "concurrency")];
        assert_eq!(figures.gauge("llm_router_limit_share", &labels), Some(2));
    }
}
