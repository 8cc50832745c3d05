//! A node that is cut off from the others serves what it has, or nothing, as it was told.

use std::time::Duration;

use llm_router_testnet::cluster::Break;
use llm_router_testnet::cluster::cache::SETTLES;
use llm_router_testnet::{Upstream, eventually};

use super::{BRISK, ask, copied, questions, store, three_brisk};

/// Two seconds after its last contact a node is on its own; a busy machine gets as much again.
const ALONE: Duration = Duration::from_secs(4);
/// And far more where it is waited for.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_node_that_is_cut_off_goes_on_serving_unless_it_is_told_to_stop() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let cluster = three_brisk(&upstream).await?;
    let asked = questions("island", 12);
    store(&cluster, &asked).await?;
    copied(&cluster, asked.len()).await?;
    let alone = cluster.followers().await?[0];
    let other = cluster.ids().find(|&id| id != alone).unwrap_or(1);
    // what it holds itself
    let mut held = Vec::new();
    cluster.isolate(alone, Break::Drop);
    tokio::time::sleep(ALONE).await;
    for question in &asked {
        if ask(cluster.http(alone), question).await? == "exact" {
            held.push(question.clone());
        }
    }
    assert!(
        held.len() >= 3,
        "two of three nodes hold each answer: {held:?}"
    );
    cluster.heal();
    cluster.in_step().await?;

    let stop = format!("cache: {{ {BRISK}, partition_mode: stop }}\n");
    let stop = upstream.config("gpt", &stop);
    let revision = cluster.put(other, &stop).await?;
    cluster.serve(revision).await?;
    cluster.settled(3).await?;
    assert_eq!(ask(cluster.http(alone), &held[0]).await?, "exact");
    cluster.isolate(alone, Break::Drop);
    eventually("it serves nothing from its cache", SOON, async || {
        let part = ask(cluster.http(alone), &held[0]).await.ok()?;
        (part == "bypass").then_some(())
    })
    .await?;
    for question in &held {
        assert_eq!(ask(cluster.http(alone), question).await?, "bypass");
    }
    // until the others know that it is gone, they may ask it for a key that it owns, and wait in vain
    eventually("the others share what there is", SETTLES, async || {
        let peers = cluster.cache(other).await?["peers"].take();
        (peers["nodes"] == 2 && peers["moving"] == false).then_some(())
    })
    .await?;
    assert_eq!(ask(cluster.http(other), &held[0]).await?, "exact");
    cluster.heal();
    eventually("it serves again", SOON, async || {
        let part = ask(cluster.http(alone), &held[0]).await.ok()?;
        (part == "exact").then_some(())
    })
    .await?;
    cluster.end().await
}
