//! Configuration that changes while requests run.

use std::time::Duration;

use llm_router_testnet::client::chat;
use llm_router_testnet::{Node, Upstream, eventually};
use tokio::time::{Instant, sleep};

use llm_router_testnet::load::Load;

/// A change is live within this.
const LIVE: Duration = Duration::from_secs(2);
/// With room for a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

fn config(first: &Upstream, second: &Upstream, target: &str) -> String {
    format!(
        "models:\n{}{}routes:\n  - {{ name: main, targets: [{target}] }}\n",
        first.model("first", ""),
        second.model("second", ""),
    )
}

#[tokio::test]
async fn a_valid_change_is_live_and_fails_nothing() -> anyhow::Result<()> {
    let (first, second) = (Upstream::start().await?, Upstream::start().await?);
    let mut node = Node::start(&config(&first, &second, "first")).await?;
    let revision = node.http().get("/admin/v1/config").await?.json()["revision"].clone();
    let load = Load::start(node.http(), "main", 4);
    eventually("traffic", LIMIT, async || {
        (load.answered() > 10).then_some(())
    })
    .await?;
    assert_eq!(second.requests(), 0);

    // a busy machine spoils one try, a node that dawdles all of them
    let mut spent = Vec::new();
    for (name, target) in [("second", &second), ("first", &first), ("second", &second)] {
        let before = target.requests();
        node.write_config(&config(&first, &second, name))?;
        let written = Instant::now();
        eventually("the change is live", LIMIT, async || {
            (target.requests() > before + 10).then_some(())
        })
        .await?;
        spent.push(written.elapsed());
    }
    assert!(spent.iter().any(|&spent| spent < LIVE), "{spent:?}");

    let tally = load.finish().await?;
    assert!(tally.bad.is_empty(), "{:?}", tally.bad);
    let reply = node.http().chat(&chat("main", "after the change")).await?;
    assert_eq!(reply.header("x-llm-router-model"), "second");
    assert_ne!(
        node.http().get("/admin/v1/config").await?.json()["revision"],
        revision
    );
    Ok(())
}

#[tokio::test]
async fn an_invalid_change_is_refused_with_its_reason_and_the_old_one_stays() -> anyhow::Result<()>
{
    let (first, second) = (Upstream::start().await?, Upstream::start().await?);
    let mut node = Node::start(&config(&first, &second, "first")).await?;
    let before = node.http().get("/admin/v1/config").await?;
    let said = node.stderr().len();

    node.write_config(&config(&first, &second, "nowhere_to_be_found"))?;
    eventually("the reason is in the log", LIMIT, async || {
        node.stderr()
            .get(said..)?
            .contains("nowhere_to_be_found")
            .then_some(())
    })
    .await?;
    node.write_config("models: [this is: not, a config")?;
    sleep(LIVE + Duration::from_millis(500)).await;

    let after = node.http().get("/admin/v1/config").await?;
    assert_eq!(after.json(), before.json());
    let reply = node.http().chat(&chat("main", "still here")).await?;
    assert_eq!(
        (reply.status, reply.header("x-llm-router-model")),
        (200, "first")
    );
    Ok(())
}

#[tokio::test]
async fn a_node_refuses_to_start_on_an_invalid_file_and_says_why() -> anyhow::Result<()> {
    let problem = match Node::start("routes:\n  - { name: r, targets: [nobody] }\n").await {
        Ok(_) => anyhow::bail!("the node started"),
        Err(error) => format!("{error:#}"),
    };
    assert!(problem.contains("nobody"), "{problem}");
    Ok(())
}
