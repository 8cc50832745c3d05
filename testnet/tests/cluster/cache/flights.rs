//! Identical requests at once are one upstream call, whichever nodes they come through.

use std::time::Duration;

use llm_router_testnet::client::Client;
use llm_router_testnet::{Cluster, Upstream, eventually};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::three;

const LIMIT: Duration = Duration::from_secs(10);
/// How long an answer takes to begin.
const BRIEF: Duration = Duration::from_millis(700);
/// The same where it is held back for everybody to be in flight, on a busy machine too.
const HELD: Duration = Duration::from_secs(5);
/// Whoever was seen at the door has joined a flight by then.
const JOINED: Duration = Duration::from_millis(500);

/// What one client was told: the cache's part, and the text.
async fn asking(client: Client, prompt: String, stream: bool) -> anyhow::Result<(String, String)> {
    client.told("gpt", &prompt, stream).await
}

fn prompt(number: usize) -> String {
    format!("one two three four five six seven eight {number}")
}

/// An upstream that takes its time over each word, and so long before the first.
async fn slow(first: Duration) -> anyhow::Result<Upstream> {
    let upstream = Upstream::start().await?;
    upstream.wait_before_the_first_token(first)?;
    upstream.wait_between_tokens(Duration::from_millis(50))?;
    Ok(upstream)
}

#[tokio::test]
async fn fifty_identical_requests_over_three_nodes_are_one_upstream_call() -> anyhow::Result<()> {
    let upstream = slow(BRIEF).await?;
    let cluster = three(&upstream).await?;
    // each prompt's key is another node's
    for round in 0..4 {
        let mut all = JoinSet::new();
        for number in 0..50 {
            let client = cluster.http(1 + number % 3).clone();
            all.spawn(asking(client, prompt(round), number % 2 == 0));
        }
        let mut misses = 0;
        while let Some(told) = all.join_next().await {
            let (part, text) = told??;
            assert_eq!(text, prompt(round));
            match part.as_str() {
                "miss" => misses += 1,
                other => assert_eq!(other, "exact"),
            }
        }
        assert_eq!((misses, upstream.requests()), (1, round as u64 + 1));
    }
    cluster.end().await
}

/// Requests being answered on all nodes together.
async fn in_flight(cluster: &Cluster) -> Option<u64> {
    let mut sum = 0;
    for id in cluster.running() {
        let path = "/admin/v1/stats?scope=node";
        let stats = cluster.http(id).get(path).await.ok()?.json();
        sum += stats["in_flight"].as_u64()?;
    }
    Some(sum)
}

#[tokio::test]
async fn when_the_client_that_led_goes_away_the_others_on_every_node_get_everything()
-> anyhow::Result<()> {
    let upstream = slow(HELD).await?;
    let cluster = three(&upstream).await?;
    // side by side: each answer is long in coming
    let rounds = [true, false, true, false];
    let leads = |round: usize| 1 + round % 3;
    let mut first = JoinSet::new();
    for (round, streams) in rounds.into_iter().enumerate() {
        let client = cluster.http(leads(round)).clone();
        first.spawn(asking(client, prompt(round), streams));
    }
    eventually("the upstream is asked for each", LIMIT, async || {
        (upstream.in_flight() == rounds.len() as u64).then_some(())
    })
    .await?;
    let mut others = JoinSet::new();
    for number in 0..9 {
        for round in 0..rounds.len() {
            let client = cluster.http(1 + number % 3).clone();
            let told = asking(client, prompt(round), number % 2 == 0);
            others.spawn(async move { (round, told.await) });
        }
    }
    eventually("all are in flight", LIMIT, async || {
        (in_flight(&cluster).await? == 10 * rounds.len() as u64).then_some(())
    })
    .await?;
    sleep(JOINED).await;
    first.shutdown().await;
    while let Some(ended) = others.join_next().await {
        let (round, told) = ended?;
        let expected = ("exact".to_owned(), prompt(round));
        assert_eq!(told?, expected, "n{} led", leads(round));
    }
    assert_eq!(upstream.requests(), rounds.len() as u64);
    assert_eq!(upstream.aborted(), 0);
    cluster.end().await
}

#[tokio::test]
async fn when_the_node_that_leads_is_killed_requests_on_the_others_are_answered()
-> anyhow::Result<()> {
    let upstream = slow(HELD).await?;
    let mut cluster = three(&upstream).await?;
    let leads = cluster.followers().await?[0];
    let stay: Vec<usize> = cluster.ids().filter(|&id| id != leads).collect();
    let mut first = JoinSet::new();
    first.spawn(asking(cluster.http(leads).clone(), prompt(0), true));
    eventually("the upstream is asked", LIMIT, async || {
        (upstream.in_flight() == 1).then_some(())
    })
    .await?;
    let mut others = JoinSet::new();
    for number in 0..8 {
        let client = cluster.http(stay[number % 2]).clone();
        others.spawn(asking(client, prompt(0), false));
    }
    eventually("all are in flight", LIMIT, async || {
        (in_flight(&cluster).await? == 9).then_some(())
    })
    .await?;
    // nothing was told yet: what the others get is made anew
    upstream.wait_before_the_first_token(BRIEF)?;
    cluster.kill(leads).await?;
    while let Some(told) = others.join_next().await {
        let (_, text) = told??;
        assert_eq!(text, prompt(0));
    }
    let asked = upstream.requests();
    assert!(asked <= 4, "one began, {asked} in all");
    first.shutdown().await;
    cluster.end().await
}
