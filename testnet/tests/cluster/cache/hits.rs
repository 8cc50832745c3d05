//! An answer that came through one node is a hit through every node.

use llm_router_testnet::cluster::cache::SPREADS;
use llm_router_testnet::cluster::{Cluster, Setup};
use llm_router_testnet::{Upstream, eventually};
use serde_json::json;

use super::{ask, call_off, questions, routing, store, three, with_weights};

#[tokio::test]
async fn what_one_node_stored_is_an_exact_hit_through_all_at_once() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let cluster = three(&upstream).await?;
    let asked = questions("atlas", 24);
    for (number, question) in asked.iter().enumerate() {
        let first = 1 + number % 3;
        assert_eq!(ask(cluster.http(first), question).await?, "miss");
        for id in cluster.ids() {
            let part = ask(cluster.http(id), question).await?;
            assert_eq!(part, "exact", "{question} through n{id}, after n{first}");
        }
    }
    assert_eq!(upstream.requests(), 24);
    cluster.end().await
}

#[tokio::test]
async fn the_same_question_in_other_words_hits_through_every_node() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let Some(cluster) = with_weights(&upstream).await? else {
        return Ok(());
    };
    let pairs = [
        (
            "How do I reset my account password?",
            "How can I reset my account password?",
        ),
        (
            "What is the capital city of France?",
            "What's the capital city of France?",
        ),
        (
            "How do I learn to play the guitar?",
            "How can I learn to play the guitar?",
        ),
    ];
    for (first, (stored, _)) in (1..).zip(pairs) {
        assert_eq!(ask(cluster.http(first), stored).await?, "miss");
    }
    eventually("the answers have spread", SPREADS, async || {
        (cluster.cache_sum("sent").await? >= 3).then_some(())
    })
    .await?;
    for (stored, reworded) in pairs {
        for id in cluster.ids() {
            let part = ask(cluster.http(id), reworded).await?;
            assert_eq!(part, "semantic", "{reworded} through n{id}");
            assert_eq!(ask(cluster.http(id), stored).await?, "exact");
        }
    }
    assert_eq!(upstream.requests(), 3);
    cluster.end().await
}

#[tokio::test]
async fn over_mtls_it_is_the_same_cache() -> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let setup = Setup {
        routing: routing(&upstream),
        tls: true,
        ..Setup::default()
    };
    let cluster = Cluster::start(3, setup).await?;
    cluster.settled(3).await?;
    let asked = questions("ledger", 9);
    store(&cluster, &asked).await?;
    for question in &asked {
        for id in cluster.ids() {
            assert_eq!(ask(cluster.http(id), question).await?, "exact");
        }
    }
    assert_eq!(upstream.requests(), 9);
    let purged = call_off(&cluster, 2, &json!({ "all": true })).await?;
    assert_eq!(purged["unreached"], json!([]), "{purged}");
    for (question, id) in asked.iter().zip([1, 2, 3].into_iter().cycle()) {
        assert_eq!(ask(cluster.http(id), question).await?, "miss");
    }
    cluster.end().await
}

#[tokio::test]
async fn after_all_nodes_restart_stored_answers_are_hits_and_purged_ones_are_not()
-> anyhow::Result<()> {
    let upstream = Upstream::start().await?;
    let mut cluster = three(&upstream).await?;
    let (kept, gone) = (questions("kept", 12), questions("gone", 12));
    store(&cluster, &gone).await?;
    call_off(&cluster, 1, &json!({ "all": true })).await?;
    store(&cluster, &kept).await?;
    for id in cluster.ids() {
        assert_eq!(cluster.terminate(id).await?, Some(0), "{}", cluster.log(id));
    }
    for id in cluster.ids() {
        cluster.spawn(id)?;
    }
    for id in cluster.ids() {
        cluster.ready(id).await?;
    }
    cluster.in_step().await?;
    cluster.settled(3).await?;
    let seen = upstream.requests();
    for (number, question) in kept.iter().enumerate() {
        assert_eq!(ask(cluster.http(1 + number % 3), question).await?, "exact");
    }
    assert_eq!(upstream.requests(), seen);
    for (number, question) in gone.iter().enumerate() {
        assert_eq!(ask(cluster.http(1 + number % 3), question).await?, "miss");
    }
    cluster.end().await
}
