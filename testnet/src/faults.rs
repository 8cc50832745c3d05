//! Everything that can go wrong upstream, in every dialect, as a client of every door sees it: a
//! whole and right answer, or one clear error; in time, after few tries, and with a node that is none
//! the worse for it.

mod lane;
mod report;

use std::sync::Arc;

use anyhow::Context;
use llm_router::provider::demo::trouble::{ALL, Trouble};
use tokio::task::JoinSet;

use crate::backends::Backend;
use crate::doors::Door;
use crate::node::Node;
use crate::upstream::Upstream;
use lane::Lane;
pub use report::{Cell, Report};

/// What is tried.
#[derive(Clone, Debug)]
pub struct Options {
    /// Through these.
    pub doors: Vec<Door>,
    /// Over these.
    pub backends: Vec<Backend>,
    /// These; all of them when empty, by [`Trouble::name`].
    pub troubles: Vec<String>,
    /// Each one whole and streamed, alone and with a fallback; otherwise one of the four in turn.
    pub thorough: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            doors: Door::ALL.to_vec(),
            backends: Backend::ALL.to_vec(),
            troubles: Vec::new(),
            thorough: false,
        }
    }
}

impl Options {
    fn wanted(&self) -> Vec<Trouble> {
        let wanted =
            |trouble: &Trouble| self.troubles.is_empty() || self.troubles.contains(&trouble.name());
        ALL.into_iter().filter(wanted).collect()
    }
}

/// Limits short enough for a test, and long enough for a slow start of 0.4 s.
const LIMITS: &str = "timeouts: { connect: 1s, first_token: 1500ms, idle: 700ms, total: 4s }";

const RULES: &str = "\
circuit_breaker: { failure_threshold: 5, recovery_timeout: 200ms, success_threshold: 1 }
retry: { max_attempts: 3, backoff: { base: 10ms, max: 50ms }, budget: 1.0 }
";

/// Starts one node and tries everything; doors and dialects side by side, each pair with an upstream
/// of its own.
///
/// # Errors
/// When the node or an upstream does not start, or a trouble has no such name.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let troubles = options.wanted();
    anyhow::ensure!(!troubles.is_empty(), "no trouble has such a name");
    let healthy = Arc::new(Upstream::start().await?);
    let (mut models, mut routes) = (String::new(), String::new());
    models.push_str(&healthy.model("healthy", "max_concurrency: 500"));
    let mut lanes = Vec::new();
    for (at, door) in options.doors.iter().copied().enumerate() {
        for (beside, backend) in options.backends.iter().copied().enumerate() {
            let lane = Lane::new(door, backend, at + beside).await?;
            for (model, route) in &lane.models {
                models.push_str(&backend.model(&lane.upstream, (model, "echo"), LIMITS));
                routes.push_str(&format!(
                    "  - {{ name: {route}, targets: [{model}], fallback: [healthy] }}\n"
                ));
            }
            lanes.push(lane);
        }
    }
    let config = format!("models:\n{models}routes:\n{routes}{RULES}");
    let node = Node::start(&config)
        .await
        .context("a node over every dialect")?;
    let node = Arc::new(node);
    let mut running = JoinSet::new();
    for lane in lanes {
        let (node, troubles) = (Arc::clone(&node), troubles.clone());
        let thorough = options.thorough;
        running.spawn(async move { lane.run(&node, &troubles, thorough).await });
    }
    let mut report = Report::default();
    while let Some(cells) = running.join_next().await {
        report.add(cells?);
    }
    let alive = node.http().get("/ready").await?;
    anyhow::ensure!(alive.status == 200, "the node is not ready any more");
    Ok(report)
}
