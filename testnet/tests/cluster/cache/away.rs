//! Calling answers off while nodes are away.

use std::time::Duration;

use llm_router_testnet::{Upstream, eventually};
use serde_json::json;

use super::{ask, call_off, found, questions, store, three_brisk};

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_node_that_stands_still_is_named_and_forgets_when_it_goes_on() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let cluster = three_brisk(&upstream).await?;
    let asked = questions("paused", 18);
    store(&cluster, &asked).await?;
    let (through, others) = cluster.roles().await?;
    let paused = others[0];
    cluster.pause(paused).await?;
    let purged = call_off(&cluster, through, &json!({ "all": true })).await?;
    assert_eq!(
        purged["unreached"],
        json!([format!("n{paused}")]),
        "{purged}"
    );
    for question in &asked[..6] {
        assert_eq!(ask(cluster.http(through), question).await?, "miss");
    }
    cluster.resume(paused).await?;
    // it hears of it as soon as it hears of anything
    eventually("it has heard", LIMIT, async || {
        let status = cluster.status(paused).await?;
        (status["connected"] == true).then_some(())
    })
    .await?;
    cluster.in_step().await?;
    eventually("it has forgotten", LIMIT, async || {
        let part = ask(cluster.http(paused), &asked[6]).await.ok()?;
        (part == "miss").then_some(())
    })
    .await?;
    for question in &asked[7..] {
        assert_eq!(ask(cluster.http(paused), question).await?, "miss");
    }
    // everybody is there again: nobody is named
    let purged = call_off(&cluster, paused, &json!({ "all": true })).await?;
    assert_eq!(purged["unreached"], json!([]), "{purged}");
    cluster.end().await
}

#[tokio::test]
async fn without_a_quorum_nothing_is_called_off() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let mut cluster = three_brisk(&upstream).await?;
    let asked = questions("lonely", 12);
    store(&cluster, &asked).await?;
    let stays = cluster.leader().await?;
    for id in cluster.ids().filter(|&id| id != stays) {
        cluster.kill(id).await?;
    }
    let held = cluster.cache(stays).await.unwrap_or_default()["entries"].clone();
    let reply = cluster.try_purge(stays, &json!({ "all": true })).await?;
    assert_eq!(reply.status, 503, "{}", reply.text());
    let now = cluster.cache(stays).await.unwrap_or_default()["entries"].clone();
    assert_eq!(now, held);
    let still = found(cluster.http(stays), &asked).await?;
    assert!(
        still as u64 * 3 >= asked.len() as u64,
        "{still} of {} found",
        asked.len()
    );
    cluster.end().await
}
