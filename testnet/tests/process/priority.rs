//! One slot, many waiting: who goes first, and that nobody waits for ever.

use std::time::Duration;

use llm_router_testnet::client::chat;
use llm_router_testnet::{Node, Reply, Upstream, eventually};
use tokio::task::JoinSet;

const SECOND: Duration = Duration::from_secs(1);
/// How long the slot is taken at first: others line up meanwhile, on a busy machine too.
const TAKEN: Duration = Duration::from_secs(3);

struct Line {
    upstream: Upstream,
    node: Node,
    waiting: JoinSet<anyhow::Result<(&'static str, Reply)>>,
}

impl Line {
    /// A node whose one model answers one request at a time; the slot is taken for a while, and those
    /// that come to it later are answered after `latency`.
    async fn with_latency(latency: Duration) -> anyhow::Result<Self> {
        let upstream = Upstream::start().await?;
        upstream.wait_before_answering(TAKEN)?;
        let model = upstream.model("gpt", "max_concurrency: 1, max_queue_depth: 200");
        let node = Node::start(&format!("models:\n{model}cache: {{ enabled: false }}\n")).await?;
        let mut line = Line {
            upstream,
            node,
            waiting: JoinSet::new(),
        };
        line.send("normal", 1);
        eventually("the slot is taken", 5 * SECOND, async || {
            (line.upstream.in_flight() == 1).then_some(())
        })
        .await?;
        line.upstream.wait_before_answering(latency)?;
        Ok(line)
    }

    fn send(&mut self, priority: &'static str, count: usize) {
        for number in 0..count {
            let client = self.node.http().clone();
            self.waiting.spawn(async move {
                let question = chat("gpt", &format!("{priority} {number}"));
                let reply = client
                    .chat_with(&[("priority", priority)], &question)
                    .await?;
                Ok((priority, reply))
            });
        }
    }

    async fn depth_reaches(&self, depth: u64) -> anyhow::Result<()> {
        eventually("the queue fills", 10 * SECOND, async || {
            let status = self.node.http().model_status("gpt").await.ok()?;
            (status["queue_depth"].as_u64()? >= depth).then_some(())
        })
        .await
    }

    /// Priorities in the order in which their answers came; all answers are good.
    async fn order(mut self) -> anyhow::Result<Vec<&'static str>> {
        let mut order = Vec::new();
        while let Some(ended) = self.waiting.join_next().await {
            let (priority, reply) = ended??;
            assert_eq!(
                reply.status,
                200,
                "{priority}, after {order:?}: {}",
                reply.text()
            );
            order.push(priority);
        }
        assert_eq!(self.upstream.max_in_flight(), 1);
        Ok(order)
    }
}

#[tokio::test]
async fn critical_overtakes_a_backlog_of_low() -> anyhow::Result<()> {
    let mut line = Line::with_latency(Duration::from_millis(50)).await?;
    line.send("low", 10);
    line.depth_reaches(10).await?;
    line.send("critical", 1);
    line.depth_reaches(11).await?;

    let order = line.order().await?;

    let place = order.iter().position(|priority| *priority == "critical");
    assert!(
        place <= Some(4),
        "critical came after half of the backlog: {order:?}"
    );
    Ok(())
}

#[tokio::test]
async fn low_still_moves_under_a_flood_of_critical() -> anyhow::Result<()> {
    let mut line = Line::with_latency(Duration::from_millis(10)).await?;
    line.send("low", 3);
    line.depth_reaches(3).await?;
    line.send("critical", 60);

    let order = line.order().await?;

    let last_low = order.iter().rposition(|priority| *priority == "low");
    assert!(
        last_low < Some(40),
        "low waited for the whole flood: place {last_low:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_says_when_to_come_back() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_answering(2 * SECOND)?;
    let model = upstream.model("gpt", "max_concurrency: 1, max_queue_depth: 2");
    let node = Node::start(&format!("models:\n{model}cache: {{ enabled: false }}\n")).await?;
    let mut asked = JoinSet::new();
    for number in 0..8 {
        let client = node.http().clone();
        asked.spawn(async move { client.chat(&chat("gpt", &format!("q {number}"))).await });
    }

    let mut refused = 0;
    while let Some(reply) = asked.join_next().await {
        let reply = reply??;
        if reply.status == 200 {
            continue;
        }
        refused += 1;
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(
            !reply.header("retry-after").is_empty(),
            "{:?}",
            reply.headers
        );
    }
    assert_eq!(refused, 5, "one runs and two wait");
    Ok(())
}
